"""Does this machine (or container) see its GPU, and can PyTorch use it?

    python3 check_gpu.py            # exit status 0 with or without a GPU
    python3 check_gpu.py --require  # exit status 1 unless a GPU works

Prints the PyTorch and CUDA versions, the driver, and each device's memory, compute capability and bf16
support; without a usable GPU, the likely cause and a command to try. Needs nothing but Python: it runs, and
says so, where PyTorch is missing or broken. It is not a benchmark (see benchmark_models.py).
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PROBE_TIMEOUT_S = 180
NVIDIA_PCI_VENDOR = "0x10de"


# --- what PyTorch says, asked in a process of its own: a broken installation may crash or hang ------------------------


def probe_torch() -> dict[str, Any]:
    """Import torch and return what it knows of CUDA; runs in the child process."""
    import torch

    found: dict[str, Any] = {"version": torch.__version__, "built_for_cuda": torch.version.cuda,
                             "built_for_hip": getattr(torch.version, "hip", None),
                             "available": bool(torch.cuda.is_available()), "error": None, "devices": []}
    if not found["available"]:
        try:
            torch.cuda.init()
        except Exception as error:
            found["error"] = _one_line(error)
        return found
    found["cudnn"] = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    found["architectures"] = list(torch.cuda.get_arch_list())
    found["devices"] = [_probe_device(torch, index) for index in range(torch.cuda.device_count())]
    return found


def _probe_device(torch: Any, index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    device = {"index": index, "name": properties.name, "compute_capability": f"{properties.major}.{properties.minor}",
              "memory_total_bytes": properties.total_memory, "memory_free_bytes": None,
              # Emulated bf16 (before Ampere) is slower than fp32: not worth calling support.
              "bf16": bool(properties.major >= 8), "error": None}
    try:
        device["memory_free_bytes"] = torch.cuda.mem_get_info(index)[0]
        ones = torch.ones(64, 64, device=f"cuda:{index}")
        if float((ones @ ones).sum()) != 64.0**3:
            device["error"] = "a 64 x 64 matrix product came out wrong"
    except Exception as error:
        device["error"] = _one_line(error)
    return device


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def ask_torch() -> dict[str, Any]:
    """Return `probe_torch`'s answer, or {"missing": True} or {"broken": why} when there is none."""
    command = [sys.executable, str(Path(__file__).resolve()), "--probe"]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {"broken": f"importing it took more than {PROBE_TIMEOUT_S} s"}
    if child.returncode < 0:
        return {"broken": f"importing it ended the process with {signal.Signals(-child.returncode).name}"}
    try:
        return json.loads(child.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        return {"broken": f"exit status {child.returncode}: {last}"}


def answer_probe() -> None:
    """The child's side of `ask_torch`: print one line of JSON."""
    try:
        answer = probe_torch()
    except ModuleNotFoundError as error:
        answer = {"missing": True} if error.name == "torch" else {"broken": _one_line(error)}
    except Exception as error:
        answer = {"broken": _one_line(error)}
    print(json.dumps(answer))


# --- what the machine says -------------------------------------------------------------------------------------------


def ask_machine() -> dict[str, Any]:
    """Return what decides whether CUDA can work: the driver, the card on the bus, the container."""
    driver, driver_cuda = _ask_driver()
    return {"python": platform.python_version(), "driver": driver, "driver_supports_cuda": driver_cuda,
            "device_files": any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists(),
            "card_on_bus": _card_on_bus(), "container": _in_container(),
            "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES")}


def _ask_driver() -> tuple[str | None, str | None]:
    """Return (driver version, newest CUDA it supports), each None where unknown."""
    text = ""
    if shutil.which("nvidia-smi"):
        try:
            text = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=30).stdout
        except (OSError, subprocess.TimeoutExpired):
            text = ""
    driver = re.search(r"Driver Version:\s*([\d.]+)", text)
    cuda = re.search(r"CUDA Version:\s*([\d.]+)", text)
    if driver is None:
        driver = re.search(r"Kernel Module\D*\s([\d.]+)\s", _read("/proc/driver/nvidia/version"))
    return driver and driver.group(1), cuda and cuda.group(1)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _card_on_bus() -> bool | None:
    """Whether the PCI bus has an NVIDIA device; None where the bus cannot be seen."""
    vendors = list(Path("/sys/bus/pci/devices").glob("*/vendor"))
    return any(_read(vendor).strip() == NVIDIA_PCI_VENDOR for vendor in vendors) if vendors else None


def _in_container() -> bool:
    marks = ("docker", "kubepods", "containerd", "libpod", "lxc")
    return (Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
            or any(mark in _read("/proc/1/cgroup") for mark in marks))


# --- from facts to a cause -------------------------------------------------------------------------------------------


def diagnose(torch: dict[str, Any], machine: dict[str, Any]) -> tuple[str, str] | None:
    """Return (the likely cause, what to try) where no GPU is usable, None where one is."""
    if torch.get("missing"):
        return ("PyTorch is not installed for this Python", f"{sys.executable} -m pip install torch")
    if torch.get("broken"):
        return (f"PyTorch is installed but cannot be imported ({torch['broken']})",
                f"{sys.executable} -m pip install --force-reinstall torch")
    if torch["available"]:
        return _diagnose_devices(torch)
    hidden = machine["cuda_visible_devices"]
    if hidden is not None and hidden.strip() in ("", "-1"):
        return (f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    if torch["built_for_cuda"] is None and torch["built_for_hip"] is None:
        return _diagnose_cpu_build(machine)
    return _diagnose_driver(torch, machine)


def _diagnose_devices(torch: dict[str, Any]) -> tuple[str, str] | None:
    if any(device["error"] is None for device in torch["devices"]):
        return None
    if not torch["devices"]:
        return ("CUDA answers but lists no device", "nvidia-smi -L")
    first = torch["devices"][0]
    if "no kernel image" in first["error"] or "not compatible" in first["error"]:
        return (f"this PyTorch has no kernels for compute capability {first['compute_capability']} (it has: "
                f"{', '.join(torch['architectures'])}); the card needs a newer or older PyTorch",
                "docker build --build-arg BASE_IMAGE=<a PyTorch image for this card> ...   (or install that PyTorch)")
    if "out of memory" in first["error"]:
        return ("the card's memory is taken by other programs", "nvidia-smi   (then end what is not needed)")
    return (f"the card answers with an error ({first['error']})", "nvidia-smi   (then reboot if it shows a fault)")


def _diagnose_cpu_build(machine: dict[str, Any]) -> tuple[str, str]:
    cause = "this PyTorch is a CPU build: it cannot use a GPU, whatever the machine has"
    remedy = f"{sys.executable} -m pip install --force-reinstall torch   (choose a CUDA build)"
    missing = _diagnose_missing(machine)
    return (f"{missing[0]}; and {cause}", f"first {missing[1]}; then {remedy}") if missing else (cause, remedy)


def _diagnose_driver(torch: dict[str, Any], machine: dict[str, Any]) -> tuple[str, str]:
    message = torch["error"] or ""
    if "too old" in message or "insufficient" in message or _older(machine["driver_supports_cuda"],
                                                                   torch["built_for_cuda"]):
        supports = machine["driver_supports_cuda"] or "an older CUDA"
        return (f"the driver ({machine['driver'] or 'version unknown'}, up to CUDA {supports}) is too old for this "
                f"PyTorch, built for CUDA {torch['built_for_cuda']}",
                "update the NVIDIA driver on the host, or install a PyTorch built for an older CUDA")
    return _diagnose_missing(machine) or (
        f"CUDA does not start ({message or 'no message'})",
        "nvidia-smi   (after a suspend: sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm)")


def _diagnose_missing(machine: dict[str, Any]) -> tuple[str, str] | None:
    """Return what this machine lacks that any PyTorch needs, and what to try; None where nothing does."""
    if machine["driver"] is None and not machine["device_files"]:
        if machine["container"]:
            return ("this container was started without its GPUs, or its host has no driver or no NVIDIA Container "
                    "Toolkit", "docker run --gpus all ...   (on the host, nvidia-smi must work first)")
        if machine["card_on_bus"] is False:
            return ("this machine has no NVIDIA card, or a virtual machine was not given it", "lspci | grep -i nvidia")
        return ("no NVIDIA driver is loaded", "nvidia-smi   (no such command: install the driver, then reboot)")
    if not machine["device_files"]:
        return ("the driver is there but no /dev/nvidia* is: its modules are not loaded, or the container lacks them",
                "sudo nvidia-modprobe -u -c=0   (in a container: docker run --gpus all ...)")
    return None


def _older(supported: str | None, needed: str | None) -> bool:
    """Whether a driver for CUDA `supported` is a major version behind `needed` (minor ones are compatible)."""
    if not supported or not needed:
        return False
    return int(supported.split(".")[0]) < int(needed.split(".")[0])


# --- the report ------------------------------------------------------------------------------------------------------


def report_lines(torch: dict[str, Any], machine: dict[str, Any], advice: tuple[str, str] | None) -> list[str]:
    """Return the report for people, one fact a line."""
    if "version" in torch:
        built = torch["built_for_cuda"] or (f"ROCm {torch['built_for_hip']}" if torch["built_for_hip"] else "CPU only")
        version = torch["version"]
    else:
        built, version = "unknown", "not installed" if torch.get("missing") else "cannot be imported"
    rows = [("Python", machine["python"]), ("PyTorch", version), ("built for CUDA", built),
            ("NVIDIA driver", _driver_text(machine)), ("cuDNN", torch.get("cudnn") or "not available"),
            ("CUDA available", "yes" if torch.get("available") else "no"),
            ("devices", len(torch.get("devices", [])))]
    for device in torch.get("devices", []):
        rows.append((f"cuda:{device['index']}", device["name"]))
        rows.append(("  memory", f"{_gib(device['memory_total_bytes'])} in all, "
                                 f"{_gib(device['memory_free_bytes'])} free"))
        rows.append(("  compute capability", device["compute_capability"]))
        rows.append(("  bf16", "yes" if device["bf16"] else "no (use fp16)"))
        rows.append(("  works", "yes" if device["error"] is None else f"no: {device['error']}"))
    lines = [f"{name:<21}{value}" for name, value in rows]
    if advice:
        lines += ["", f"likely cause: {advice[0]}", f"try:          {advice[1]}"]
    return lines


def _driver_text(machine: dict[str, Any]) -> str:
    if machine["driver"] is None:
        return "not found"
    supports = machine["driver_supports_cuda"]
    return machine["driver"] + (f" (up to CUDA {supports})" if supports else "")


def _gib(size_bytes: int | None) -> str:
    return "unknown" if size_bytes is None else f"{size_bytes / 2**30:.1f} GiB"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--require", action="store_true", help="exit with status 1 unless a GPU works")
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    options, unknown = parser.parse_known_args()
    if unknown:
        nearest = difflib.get_close_matches(unknown[0].partition("=")[0], ("--json", "--require", "--help"), n=1)
        suggestion = f"; did you mean '{nearest[0]}'?" if nearest else ""
        parser.exit(2, f"check_gpu.py: error: unknown option {unknown[0]}{suggestion}\n")
    return options


def main() -> int:
    arguments = read_options()
    if arguments.probe:
        answer_probe()
        return 0
    torch, machine = ask_torch(), ask_machine()
    advice = diagnose(torch, machine)
    if arguments.json:
        told = {"cause": advice[0], "try": advice[1]} if advice else None
        print(json.dumps({"usable": advice is None, "torch": torch, "machine": machine, "advice": told}, indent=2))
    else:
        print("\n".join(report_lines(torch, machine, advice)))
    return 1 if arguments.require and advice is not None else 0


def run() -> int:
    """Return the exit status of `main`, which is 0 only if all of the report was taken."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # a terminal may not know a letter
    try:
        status = main()
        if sys.stdout is None:
            return 2
        sys.stdout.flush()
        return status
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            return 141  # as shells report it where the reader went away
        print(f"error: standard output: cannot write to it ({error.strerror})", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(run())
