"""What `--device` asks for, and what it gets where there is no GPU."""

from __future__ import annotations

import pytest
import torch

from skeleton_lab.errors import UserError
from skeleton_lab.train.device import choose_device
from skeleton_lab.train.flags import device_index
from skeleton_lab.train.trained import pick_device


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("words", [("0",), ("cuda:0",), ("auto",), ("0", "1", "2", "3")])
def test_what_is_published_goes_on_with_the_cpu_and_says_so(words):
    said = []
    assert choose_device([device_index(word) for word in words], said.append) == torch.device("cpu")
    assert said == ["No CUDA GPU found: using the CPU."]


@pytest.mark.parametrize("word", ["cuda", "CUDA", "3", "cuda:1"])
def test_what_is_asked_for_by_name_and_is_not_there_is_refused(word):
    with pytest.raises(UserError, match="no CUDA GPU here; choose cpu or auto"):
        choose_device([device_index(word)], print)
    with pytest.raises(UserError, match=f"--device {word}: "):
        pick_device(word)


@pytest.mark.parametrize("word", ["gpu", "-1", "cuda:x", "", "²"])
def test_other_words_are_no_device(word):
    with pytest.raises(ValueError, match="expected GPU indices, cuda, cpu or auto"):
        device_index(word)
    with pytest.raises(UserError, match="expected GPU indices"):
        pick_device(word)


def test_a_cpu_has_no_fp16():
    with pytest.raises(UserError, match="needs a CUDA GPU"):
        choose_precision(True, "fp16", CPU)


def test_a_card_without_kernels_is_one_line(monkeypatch):
    def zeros(*args, **options):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors ...")

    monkeypatch.setattr(torch, "zeros", zeros)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GeForce RTX 5090")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (12, 0))
    with pytest.raises(UserError, match=r"no kernels for GeForce RTX 5090 \(compute capability 12\.0\).*BASE_IMAGE") as caught:
        check_kernels(torch.device("cuda", 0))
    assert "\n" not in str(caught.value)
