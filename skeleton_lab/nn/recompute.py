"""Trade time for memory: keep a block's input only, and run the block again in the backward pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.precision import autocast_dtype

_state = threading.local()  # autograd runs a GPU's backward pass in a thread of its own


def recomputing() -> bool:
    """Whether this thread is running a block again for its gradients: state of the forward pass must stay as it is."""
    return getattr(_state, "recomputing", False)


@contextmanager
def _recomputation(block: nn.Module) -> Iterator[None]:
    """Hold running moments still: the engine's norms ask `recomputing`, the framework's are told to keep none."""
    before = recomputing()
    norms = [part for part in block.modules()
             if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training and part.track_running_stats]
    _state.recomputing = True
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        _state.recomputing = before
        for norm in norms:
            norm.track_running_stats = True


class _Recomputed(torch.autograd.Function):
    """apply(block, x, *parameters of the block) -> block(x); keeps x.

    The parameters are inputs, so that their gradients travel through autograd like any others and distributed
    training sees them.
    """

    @staticmethod
    def forward(ctx: Any, block: nn.Module, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.block = block
        ctx.autocast = autocast_dtype(x.device.type)
        ctx.save_for_backward(x, *parameters)
        return block(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]  # x, *parameters
        x = x.detach().requires_grad_(needed[0])
        autocast = torch.autocast(x.device.type, dtype=ctx.autocast, enabled=ctx.autocast is not None)
        with _recomputation(ctx.block), torch.enable_grad(), autocast:
            out = ctx.block(x)
        wanted = [tensor for tensor, needs in zip((x, *parameters), needed, strict=True) if needs]
        grads = iter(torch.autograd.grad(out, wanted, grad, allow_unused=True))
        return None, *(next(grads) if needs else None for needs in needed)


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """Return block(x), keeping only x for the backward pass, which runs the block a second time.

    The block must be a function of x and its parameters: without randomness, and with state that it leaves alone while
    `recomputing()`, as batch norms leave their running moments.
    """
    if not torch.is_grad_enabled():
        return block(x)
    return _Recomputed.apply(block, x, *block.parameters())
