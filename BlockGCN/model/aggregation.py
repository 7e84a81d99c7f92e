"""Graph convolution with a topology for each group of channels, all relations as one operator.
As equations it is `SpatialUnit` in `model/reference.py`.

Axes: B bodies, C channels in or out, K groups of channels, R relations, V source joint, W target joint, T frames.
Activations are (B, C, V, T): frames innermost, so that gathering neighbours is one small matrix product per channel.

Gathering and mixing channels commute, and the input never has more channels than the output: neighbours are gathered
first. What is gathered, (B, C_in, R*W, T), is R times as wide as the input and never kept: the backward pass gathers
again. On a CPU it exists for a group of a few bodies at a time, so that it stays in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.norm import merge_moments, row_moments
from skeleton_lab.nn.pointwise import add_pointwise_weight_grad, body_chunks, pointwise
from skeleton_lab.nn.precision import without_autocast

CACHE_BYTES = 512 * 1024  # what is gathered at a time on a CPU, where one body has less


def aggregate(x: Tensor, topology: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """Write y[b,(k,d),w,t] = sum over c, r, v of weight[k,d,(c,r)] topology[k,(r,w),v] x[b,(k,c),v,t]; return it.

    Args:
        x: (B, C_in, V, T). topology: (K, R*W, V). weight: (K, C_out/K, C_in/K*R). out: (B, C_out, W, T).
    """
    for channels, filled, gather, mix in _groups(x, out, topology, weight):
        pointwise(mix, _gathered(gather, channels, filled), out=filled)
    return out


class GroupedAggregation(torch.autograd.Function):
    """`aggregate`, keeping its arguments only; of the input, what it is the sum of.

    apply(input (B, C_in, V, T), x (B, C_in, V, T), bias (B, C_in) or None, topology, weight, offset (C_out) or None) ->
    (y (B, C_out, W, T), mean, var), the moments (C_out) of y. The input is x plus the bias, which are kept in its
    place; it gets the gradient, they get none. Topology, weight and offset may be more precise than the input; sums
    that become gradients are at least float32. The offset is not added, since a batch norm in training mode takes it
    out again; its gradient is zero. Without one, in evaluation mode, y is all that is returned.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, x: Tensor, bias: Tensor | None, topology: Tensor, weight: Tensor,
                offset: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        ctx.save_for_backward(x, bias, topology, weight, offset)
        gather, mix = topology.to(x.dtype), weight.to(x.dtype)
        with without_autocast(x):
            out = x.new_empty(len(x), weight.shape[0] * weight.shape[1], *x.shape[2:])
            rows = []
            for bodies in body_chunks(out, CACHE_BYTES):
                aggregate(inputs[bodies], gather, mix, out[bodies])
                if offset is not None:
                    rows.append(row_moments(out[bodies]))
            if offset is None:
                return out
            moments = merge_moments(rows, out[0, 0].numel())
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, bias, topology, weight, offset = ctx.saved_tensors
        grad = grad.contiguous()
        exact = torch.promote_types(x.dtype, torch.float32)
        gather, mix = topology.to(x.dtype), weight.to(x.dtype)
        grad_input = torch.empty_like(x)
        grad_topology, grad_weight = (torch.zeros_like(tensor, dtype=exact) for tensor in (topology, weight))
        with without_autocast(x):
            for bodies in body_chunks(grad, CACHE_BYTES):
                inputs = plus(x[bodies], None if bias is None else bias[bodies])
                for parts in _groups(inputs, grad[bodies], gather, mix, grad_input[bodies], grad_topology, grad_weight):
                    _group_backward(*parts)
        return (grad_input, None, None, grad_topology.to(topology.dtype), grad_weight.to(weight.dtype),
                None if offset is None else torch.zeros_like(offset))


def plus(x: Tensor, bias: Tensor | None) -> Tensor:
    """Add a bias (B, C) or None to x (B, C, ...), in the dtype of x."""
    return x if bias is None else x + bias[:, :, None, None].to(x.dtype)


def _group_backward(x: Tensor, grad: Tensor, gather: Tensor, mix: Tensor, grad_x: Tensor, grad_gather: Tensor,
                    grad_mix: Tensor) -> None:
    """Write the gradient of a group's x (n, C_in/K, V, T), and add to those of its two matrices."""
    add_pointwise_weight_grad(grad_mix, grad.flatten(2), _gathered(gather, x, grad).flatten(2))
    grad_gathered = pointwise(mix.t(), grad).view(-1, len(gather), x.shape[3])  # (n*C_in/K, R*W, T)
    add_pointwise_weight_grad(grad_gather, grad_gathered, x.reshape(-1, *x.shape[2:]))
    grad_x.copy_(torch.bmm(gather.t().expand(len(grad_gathered), -1, -1), grad_gathered).view_as(grad_x))


def _gathered(gather: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """Multiply (R*W, V) into the joints of a group's x (n, C, V, T): (n, C*R, W, T), R fastest, W out's."""
    channels = x.reshape(-1, *x.shape[2:])
    product = torch.bmm(gather.expand(len(channels), -1, -1), channels)  # (n*C, R*W, T)
    return product.view(len(x), -1, *out.shape[2:])


def _groups(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield what belongs to each group: its channels of (B, C, ...) tensors, its row of (K, ...) matrices."""
    matrices = next(tensor for tensor in tensors if tensor.ndim == 3)
    for group in range(len(matrices)):
        yield tuple(tensor[group] if tensor.ndim == 3 else tensor.unflatten(1, (len(matrices), -1))[:, group]
                    for tensor in tensors)
