"""How much of a tensor the hand-written operators work on at a time: pieces that fit a CPU's cache; on a GPU, all."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_scratch = threading.local()
_as_on_a_gpu = False  # autograd's threads must see it too


def all_at_once(x: Tensor) -> bool:
    """Whether to work on all of `x` at once."""
    return x.is_cuda or _as_on_a_gpu


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Inside the block, work on a CPU as on a GPU: the same results, slower, and with a GPU's need of memory."""
    global _as_on_a_gpu
    before, _as_on_a_gpu = _as_on_a_gpu, True
    try:
        yield
    finally:
        _as_on_a_gpu = before


def scratch(name: str, *shape: int, like: Tensor) -> Tensor:
    """Return an uninitialised tensor for what is done with before anyone else asks for `name`: of this thread, kept.

    To get some megabytes from the system again and again, page by page, takes as long as to fill them.
    """
    key, numbers = (name, like.dtype, like.device), math.prod(shape)
    kept = getattr(_scratch, "tensors", None)
    if kept is None:
        kept = _scratch.tensors = {}
    if key not in kept or kept[key].numel() < numbers:
        with torch.inference_mode(False):
            kept[key] = torch.empty(numbers, dtype=like.dtype, device=like.device)
    return kept[key][:numbers].view(shape)
