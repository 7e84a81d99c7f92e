"""What all hand-written operators are: functions with forward and backward passes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import torch


class Operator(torch.autograd.Function):
    """An operator that computes in buffers of its own and in place, and keeps what it chooses for the backward pass.

    torch.compile must leave it whole: taken apart, its gradients come out wrong (seen with PyTorch 2.13).
    """


def leave_operators_whole() -> None:
    """From now on have torch.compile call operators instead of looking into them."""
    for operator in _all_below(Operator):
        if "apply" not in vars(operator):
            operator.apply = staticmethod(torch.compiler.disable(operator.apply))  # type: ignore[method-assign]


def _all_below(kind: type[Operator]) -> Iterator[type[Operator]]:
    for below in kind.__subclasses__():
        yield below
        yield from _all_below(below)
