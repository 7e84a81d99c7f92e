"""In which number format a run computes, and what is said of it."""

from __future__ import annotations

import pytest
import torch

from skeleton_lab.errors import UserError
from skeleton_lab.train.device import choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("capability", "lines"), [("AVX2", 1), ("AVX512", 0)])
def test_a_cpu_that_is_slow_in_bf16_is_told(monkeypatch, capability, lines):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    said = []
    assert choose_precision(True, "auto", CPU, said.append).dtype is torch.bfloat16
    assert choose_precision(False, "auto", CPU, said.append).dtype is None
    assert len(said) == lines and all("bf16" in line for line in said)


def test_a_cpu_has_no_fp16():
    with pytest.raises(UserError, match="needs a CUDA GPU"):
        choose_precision(True, "fp16", CPU)
