"""BatchNorm over the clips of all processes: what the operators with batch norms inside need of the other processes.

Off by default: then each process normalises its own share of a batch, and the functions here return what they get. They
count on every process having as many values, as training batches are shared out, and on all processes calling them in
the same order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable

_num_processes = 1  # autograd's threads must see it too


def synchronise(num_processes: int) -> None:
    """From now on take moments over `num_processes` processes, all of the world; 1: over this one only."""
    global _num_processes
    _num_processes = num_processes


def num_processes() -> int:
    """Return over how many processes moments are taken."""
    return _num_processes


def averaged(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the mean over the processes of each tensor (C)."""
    if _num_processes == 1:
        return tensors
    total = torch.stack(tensors)
    distributed.all_reduce(total)
    return (total / _num_processes).unbind(0)


def of_all_processes(mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance (C) of all processes' values, given those of this one's."""
    if _num_processes == 1:
        return mean, var
    own = torch.stack([mean, var])
    parts = [torch.empty_like(own) for _ in range(_num_processes)]
    distributed.all_gather(parts, own)
    means, variances = torch.stack(parts).unbind(1)  # (processes, C)
    mean = means.mean(dim=0)
    return mean, (variances + (means - mean).square()).mean(dim=0)


def summed_over_processes(x: Tensor) -> Tensor:
    """Return the sum over all processes that train together, whether they synchronise or not, with gradients.

    A gradient that comes back is summed too: each process's loss depends on what all of them have.
    """
    together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    return _Summed.apply(x) if together else x


class _Summed(torch.autograd.Function):
    """apply(x) -> the sum of all processes' x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone()
        distributed.all_reduce(total)
        return total
