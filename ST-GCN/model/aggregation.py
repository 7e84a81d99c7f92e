"""Graph convolution with topologies that all channels share (ST-GCN, section 3.2), as one operator.
As an equation it is `SpatialUnit` in `model/reference.py`.

Axes: B bodies, C channels in or out, K subsets of a joint's neighbours, V source joint, U target joint, T frames.
Activations are (B, C, V, T): frames innermost, so that gathering neighbours is one small matrix product per channel.

Gathering and mixing channels commute, and the input never has more channels than the output: neighbours are gathered
first. What is gathered, (B, C_in, K*U, T), is K times as wide as the input and never kept: the backward pass gathers
again. On a CPU it exists for a few bodies at a time, so that it stays in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.norm import merge_moments, row_moments
from skeleton_lab.nn.pointwise import add_pointwise_weight_grad, body_chunks, pointwise
from skeleton_lab.nn.precision import without_autocast


def aggregate(x: Tensor, topology: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
    """Return y[b,d,u,t] = sum over c, k, v of weight[d,(c,k)] topology[k,u,v] x[b,c,v,t], plus offset[d,u].

    Args:
        x: (B, C_in, V, T). topology: (K, U, V). weight: (C_out, C_in*K), the subset fastest. offset: (C_out, U).

    Returns:
        (B, C_out, U, T).
    """
    mixed = pointwise(weight, _gather(topology.flatten(0, 1), x).view(*_wide(x, topology), x.shape[3]))
    return mixed.add_(offset.unsqueeze(-1))


class SharedAggregation(torch.autograd.Function):
    """`aggregate`, for training: keeps its arguments only.

    apply(x, topology, weight, offset) -> (y (B, C_out, U, T), mean, var), the moments (C_out) of y. All arguments but x
    may be more precise than x; sums that become gradients are at least float32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, topology: Tensor, weight: Tensor, offset: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, topology, weight, offset)
        arguments = [tensor.to(x.dtype) for tensor in (topology, weight, offset)]
        with without_autocast(x):
            out = x.new_empty(x.shape[0], weight.shape[0], topology.shape[1], x.shape[3])
            rows = []
            for bodies in body_chunks(out):
                out[bodies] = aggregate(x[bodies], *arguments)
                rows.append(row_moments(out[bodies]))
            moments = merge_moments(rows, out[0, 0].numel())
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, topology, weight, offset = ctx.saved_tensors
        grad = grad.contiguous()
        exact = torch.promote_types(x.dtype, torch.float32)
        flat_topology = topology.flatten(0, 1).to(x.dtype)  # (K*U, V)
        backward_weight = weight.t().to(x.dtype)
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        grad_topology = torch.zeros_like(flat_topology, dtype=exact)
        grad_weight = torch.zeros_like(weight, dtype=exact)
        with without_autocast(x):
            for bodies in body_chunks(grad):
                some, grad_out = x[bodies], grad[bodies].flatten(2)  # (n, C_in, V, T), (n, C_out, U*T)
                gathered = _gather(flat_topology, some).view(*_wide(some, topology)[:2], -1)  # (n, C_in*K, U*T)
                add_pointwise_weight_grad(grad_weight, grad_out, gathered)
                grad_gathered = pointwise(backward_weight, grad_out).view(-1, len(flat_topology), x.shape[3])
                add_pointwise_weight_grad(grad_topology, grad_gathered, some.flatten(0, 1))
                if grad_x is not None:
                    grad_x[bodies] = torch.matmul(flat_topology.t(), grad_gathered).view_as(some)
        grad_offset = grad.sum(dim=(0, 3), dtype=exact).to(offset.dtype)
        return grad_x, grad_topology.view_as(topology).to(topology.dtype), grad_weight.to(weight.dtype), grad_offset


def _gather(flat_topology: Tensor, x: Tensor) -> Tensor:
    """Multiply (K*U, V) into the joints of x (B, C, V, T): (B*C, K*U, T)."""
    channels = x.flatten(0, 1)  # (B*C, V, T)
    return torch.bmm(flat_topology.expand(len(channels), -1, -1), channels)


def _wide(x: Tensor, topology: Tensor) -> tuple[int, int, int]:
    """Return (B, C_in*K, U)."""
    return x.shape[0], x.shape[1] * topology.shape[0], topology.shape[1]
