"""Mixed precision for hand-written operators: which dtype to work in, and how to be left alone by autocast."""

from __future__ import annotations

import torch
from torch import Tensor


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """Return the dtype autocast works in on "cpu" or "cuda", or None where it is off."""
    try:
        return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
    except (TypeError, AttributeError):  # before torch 2.4
        if device_type == "cpu":
            return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
        return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def working_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which to multiply matrices of `x`: autocast's, unless `x` is float64."""
    dtype = autocast_dtype(x.device.type)
    return x.dtype if dtype is None or x.dtype == torch.float64 else dtype


def without_autocast(x: Tensor) -> torch.autocast:
    """Return a context in which autocast leaves dtypes alone on the device of `x`."""
    return torch.autocast(x.device.type, enabled=False)
