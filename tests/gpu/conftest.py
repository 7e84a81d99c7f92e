"""Tests that need a CUDA GPU; without one they say so and skip."""

from __future__ import annotations

import functools

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def gpu():
    """The name of the GPU that is computed on."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    return torch.cuda.get_device_name(0)


@pytest.fixture
def full_precision(monkeypatch):
    """Multiply float32 in float32, in matrix products and in cuDNN's convolutions, where a run would take TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="session")
def run_script(run_script):
    """The same, but always `fresh`: a forked process has no CUDA where PyTorch's import has asked for GPUs."""
    return functools.partial(run_script, fresh=True)
