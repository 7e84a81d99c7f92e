"""What `--device` asks for, and what it gets where there is no GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from skeleton_lab.errors import UserError
from skeleton_lab.train.device import Precision, check_kernels, choose_device, choose_precision
from skeleton_lab.train.flags import device_index
from skeleton_lab.train.state import _format_of, _refuse_another_format
from skeleton_lab.train.trained import pick_device


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("words", [("0",), ("cuda:0",), ("auto",), ("0", "1", "2", "3")])
def test_what_is_published_goes_on_with_the_cpu_and_says_so(words):
    said = []
    assert choose_device([device_index(word) for word in words], said.append) == torch.device("cpu")
    assert said == ["No CUDA GPU found: using the CPU."]


@pytest.mark.parametrize(("word", "said"), [("0", "No CUDA GPU found: using the CPU.\n"), ("auto", ""), ("cpu", "")])
def test_scripts_that_predict_do_the_same(capsys, word, said):
    assert pick_device(word) == torch.device("cpu")
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("word", ["cuda", "CUDA", "3", "cuda:1"])
def test_what_is_asked_for_by_name_and_is_not_there_is_refused(word):
    with pytest.raises(UserError, match="no CUDA GPU here; choose cpu or auto"):
        choose_device([device_index(word)], print)
    with pytest.raises(UserError, match=f"--device {device_index(word)}: "):
        pick_device(word)


@pytest.mark.parametrize("word", ["gpu", "-1", "cuda:x", "", "²"])
def test_other_words_are_no_device(word):
    with pytest.raises(ValueError, match="expected GPU indices, cuda, cpu or auto"):
        device_index(word)
    with pytest.raises(UserError, match="expected GPU indices"):
        pick_device(word)


@pytest.mark.parametrize(("capability", "lines"), [("AVX2", 1), ("AVX512", 0)])
def test_a_cpu_that_is_slow_in_bf16_is_told(monkeypatch, capability, lines):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    said = []
    assert choose_precision(True, "auto", torch.device("cpu"), said.append).dtype is torch.bfloat16
    assert choose_precision(False, "auto", torch.device("cpu"), said.append).dtype is None
    assert len(said) == lines and all("bf16" in line for line in said)


def test_a_cpu_has_no_fp16():
    with pytest.raises(UserError, match="needs a CUDA GPU"):
        choose_precision(True, "fp16", torch.device("cpu"))


def test_a_card_without_kernels_is_one_line(monkeypatch):
    def zeros(*args, **options):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors")

    monkeypatch.setattr(torch, "zeros", zeros)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GeForce RTX 5090")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (12, 0))
    expected = r"no kernels for GeForce RTX 5090 \(compute capability 12\.0\).*BASE_IMAGE"
    with pytest.raises(UserError, match=expected) as caught:
        check_kernels(torch.device("cuda", 0))
    assert "\n" not in str(caught.value)


def of_format(dtype):
    """A run in that number format, as its state needs it."""
    return SimpleNamespace(precision=Precision("cuda", dtype), work_dir=SimpleNamespace(path=Path("work")),
                           config=SimpleNamespace(amp_dtype="auto"))


@pytest.mark.parametrize(("before", "now"), [(torch.bfloat16, torch.float16), (torch.float16, torch.bfloat16)])
def test_a_state_of_another_number_format_is_refused(before, now):
    scaler = {"scale": 1.0} if before is torch.float16 else {}
    state = {"scaler": scaler, "number_format": _format_of(of_format(before))}
    _refuse_another_format(state, of_format(before))
    names = f"{before} before; --amp-dtype auto means {now} here".replace("torch.", "")
    with pytest.raises(UserError, match=names):
        _refuse_another_format(state, of_format(now))
    del state["number_format"]  # of a state that is older than this
    _refuse_another_format(state, of_format(before))
    with pytest.raises(UserError, match="another number format"):
        _refuse_another_format(state, of_format(now))
