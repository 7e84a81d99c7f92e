"""How much of a tensor the hand-written operators work on at a time: pieces that fit a CPU's cache; on a GPU, all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

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
