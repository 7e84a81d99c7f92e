"""What a model takes of a batch: its clips, and whatever else a feeder gives or a run adds, all of the same N clips.

A model that takes clips alone gets a tensor. One that takes more, the number of each frame in its recording for
instance, is called with several, and so is one that is fused with descriptors. Loader, loop, recorded passes,
evaluation and prediction hand on either without looking: `Inputs` is moved, cut, pinned and copied as a tensor is, and
`called` calls the model.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from skeleton_lab.errors import UserError


@dataclass(frozen=True)
class Inputs:
    """The arguments of a model's call: clips (N, C, T, V, M) and, behind them, further tensors with N rows each."""

    tensors: tuple[Tensor, ...]

    @classmethod
    def of(cls, data: Tensor | Inputs) -> Inputs:
        """Return `data`, or clips alone as `Inputs`."""
        return data if isinstance(data, Inputs) else cls((data,))

    @property
    def clips(self) -> Tensor:
        return self.tensors[0]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, some: slice) -> Inputs:
        return Inputs(tuple(tensor[some] for tensor in self.tensors))

    def to(self, *args: Any, **kwargs: Any) -> Inputs:
        """Return all tensors moved as `Tensor.to` moves one."""
        return Inputs(tuple(tensor.to(*args, **kwargs) for tensor in self.tensors))

    def pin_memory(self) -> Inputs:
        """Return all tensors in page-locked memory (called by PyTorch's loader)."""
        return Inputs(tuple(tensor.pin_memory() for tensor in self.tensors))

    def copy_(self, other: Inputs, non_blocking: bool = False) -> None:
        """Write what `other` holds into these tensors."""
        for own, tensor in zip(self.tensors, other.tensors, strict=True):
            own.copy_(tensor, non_blocking=non_blocking)

    @property
    def shape(self) -> tuple[torch.Size, ...]:
        return tuple(tensor.shape for tensor in self.tensors)


Data = Tensor | Inputs


def called(model: nn.Module, data: Data) -> Any:
    """Return what `model` makes of clips, or of clips and what comes with them.

    Raises:
        UserError: more comes with the clips than the model takes.
    """
    if not isinstance(data, Inputs):
        return model(data)
    try:
        inner = model.module if isinstance(model, DistributedDataParallel) else model
        inspect.signature(inner.forward).bind(*data.tensors)
    except TypeError:
        raise UserError(f"the feeder gives {len(data.tensors)} inputs, the clips and more, and {type(inner).__name__} "
                        "does not take so many; choose the feeder of the model's own tree") from None
    return model(*data.tensors)
