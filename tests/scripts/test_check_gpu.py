"""check_gpu.py: what it reports and what it blames, with and without PyTorch and a GPU."""

from __future__ import annotations

import json
import shutil

import pytest

import check_gpu
from tests.trees import ROOT

MACHINE = {"python": "3.11.7", "driver": "550.54", "driver_supports_cuda": "12.4", "device_files": True,
           "card_on_bus": True, "container": False, "cuda_visible_devices": None}
DEVICE = {"index": 0, "name": "Card", "compute_capability": "8.9", "memory_total_bytes": 8 * 2**30,
          "memory_free_bytes": 7 * 2**30, "bf16": True, "error": None}
CUDA_TORCH = {"version": "2.3.1", "built_for_cuda": "12.1", "built_for_hip": None, "available": False, "error": "boom",
              "devices": []}

# A torch that claims a GPU, for the path that a machine without one cannot take.
FAKE_GPU_TORCH = """
from types import SimpleNamespace as N
__version__ = "9.9.9"
version = N(cuda="12.1", hip=None)
class Ones:
    def __matmul__(self, other): return self
    def sum(self): return 64.0 ** 3
def ones(*shape, device): return Ones()
cuda = N(is_available=lambda: True, device_count=lambda: 1, get_arch_list=lambda: ["sm_89"],
         get_device_properties=lambda i: N(name="Fake 4060", major=8, minor=9, total_memory=8 * 2**30),
         mem_get_info=lambda i: (7 * 2**30, 8 * 2**30))
backends = N(cudnn=N(is_available=lambda: True, version=lambda: 8902))
"""


@pytest.fixture
def alone(tmp_path):
    """Return check_gpu.py copied to a folder without skeleton_lab, and a writer of a stand-in torch module."""
    script = tmp_path / "scripts" / "check_gpu.py"
    script.parent.mkdir()
    shutil.copy(ROOT / "check_gpu.py", script)

    def stand_in(source: str) -> dict[str, str]:
        modules = tmp_path / "modules"
        modules.mkdir()
        (modules / "torch.py").write_text(source)
        return {"PYTHONPATH": str(modules)}

    return script, stand_in


def test_reports_this_machine_and_exits_0(run_script):
    import torch

    ran = run_script("check_gpu.py", "--json", fresh=True)
    report = json.loads(ran.stdout)
    assert ran.returncode == 0
    assert report["torch"]["version"] == torch.__version__
    assert report["usable"] == torch.cuda.is_available()
    assert (report["advice"] is None) == report["usable"]


def test_require_fails_without_a_gpu(alone, run_script):
    script, stand_in = alone
    ran = run_script(script, "--require", env=stand_in("raise ModuleNotFoundError('no', name='torch')"),
                     fresh=True)
    assert ran.returncode == 1
    assert "likely cause" in ran.stdout


def test_a_gpu_is_described_and_satisfies_require(alone, run_script):
    script, stand_in = alone
    ran = run_script(script, "--require", env=stand_in(FAKE_GPU_TORCH), fresh=True)
    assert ran.returncode == 0, ran.stderr
    for fact in ("Fake 4060", "9.9.9", "12.1", "8902", "8.0 GiB in all, 7.0 GiB free", "8.9"):
        assert fact in ran.stdout
    assert "likely cause" not in ran.stdout


@pytest.mark.parametrize(("source", "said"), [
    ("raise ModuleNotFoundError('no torch', name='torch')", "PyTorch is not installed"),
    ("raise ModuleNotFoundError('no typing_extensions', name='typing_extensions')", "cannot be imported"),
    ("raise OSError('libcudart.so.12: cannot open shared object file')", "libcudart.so.12"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ("import sys; sys.exit('bad build')", "bad build"),
])
def test_says_what_is_wrong_with_torch_and_exits_0(alone, run_script, source, said):
    script, stand_in = alone
    ran = run_script(script, env=stand_in(source), fresh=True)
    assert ran.returncode == 0
    assert said in ran.stdout
    assert "pip install" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr


def cause(torch: dict | None = None, **machine) -> str:
    found = check_gpu.diagnose({**CUDA_TORCH, **(torch or {})}, {**MACHINE, **machine})
    return " | ".join(found or ())


def test_each_cause_has_its_own_diagnosis():
    nothing = {"driver": None, "driver_supports_cuda": None, "device_files": False}
    assert cause({"built_for_cuda": None}).startswith("this PyTorch is a CPU build")
    for lacking, said in (({"card_on_bus": True}, "no NVIDIA driver is loaded; and this PyTorch is a CPU build"),
                          ({"card_on_bus": False}, "this machine has no NVIDIA card"), ({"container": True}, "GPUs")):
        both = cause({"built_for_cuda": None}, **nothing, **lacking)
        assert said in both and "CPU build" in both and " | first " in both and "; then " in both
    assert "CUDA_VISIBLE_DEVICES" in cause(cuda_visible_devices="")
    assert "--gpus all" in cause(container=True, **nothing)
    assert "no NVIDIA card" in cause(card_on_bus=False, **nothing)
    assert "no NVIDIA driver is loaded" in cause(card_on_bus=True, **nothing)
    assert "too old" in cause(driver="470.1", driver_supports_cuda="11.4")
    assert "too old" in cause({"error": "The NVIDIA driver on your system is too old (found version 11040)."})
    assert "/dev/nvidia*" in cause(device_files=False)
    assert "boom" in cause()


def test_a_device_that_fails_is_no_usable_gpu():
    def with_error(error):
        return {"available": True, "architectures": ["sm_80"], "devices": [{**DEVICE, "error": error}]}

    assert cause(with_error(None)) == ""
    assert "no kernels for compute capability 8.9" in cause(with_error("RuntimeError: CUDA error: no kernel image is"))
    assert "taken by other programs" in cause(with_error("OutOfMemoryError: CUDA out of memory."))
    assert "ECC" in cause(with_error("RuntimeError: uncorrectable ECC error"))


def test_a_newer_driver_is_never_too_old():
    assert "too old" not in cause(driver_supports_cuda="13.0")
    assert "too old" not in cause({"built_for_cuda": "12.8"}, driver_supports_cuda="12.2")
