"""Graph convolution with a topology for each clip and head, batch norm, shortcut and ReLU, as one operator.
As equations it is `SpatialUnit` in `model/reference.py`.

Axes: B bodies, C channels in or out, K heads, V source joint, U target joint, T frames. Activations are (B, C, V, T):
frames innermost, so that gathering neighbours is a small matrix product for each channel.

Gathering and mixing channels commute, and the input never has more channels than the output: neighbours are gathered
first. What virtual joints and the bias add is the same in all frames: an offset for each body, channel and joint.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.norm import Moments, merge_moments, normalize, normalize_backward, relu_backward, row_moments
from skeleton_lab.nn.pointwise import body_chunks
from skeleton_lab.nn.precision import without_autocast


def gather(topology: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Return sum over v of topology[b,k,u,v] x[b,c,v,t], k the head of channel c: (B, C, U, T).

    topology: (B, K, U, V). x: (B, C, V, T). out: (B, C, U, T), to be written to.
    """
    b, c = x.shape[:2]
    each = topology.unsqueeze(2).expand(-1, -1, c // topology.shape[1], -1, -1).reshape(b * c, *topology.shape[2:])
    if out is None:
        return torch.bmm(each, x.flatten(0, 1)).view(b, c, -1, x.shape[3])
    torch.bmm(each, x.flatten(0, 1), out=out.flatten(0, 1))
    return out


def mix(weight: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply each head's matrix into its channels: weight (K, C_out/K, C_in/K), x (B, C_in, V, T).

    out: (B, C_out, V, T), to be written to.
    """
    b, (heads, channels) = len(x), weight.shape[:2]
    each = weight.expand(b, -1, -1, -1).flatten(0, 1)  # (B*K, C_out/K, C_in/K)
    inputs = x.view(b * heads, -1, x.shape[2] * x.shape[3])
    if out is None:
        return torch.bmm(each, inputs).view(b, heads * channels, *x.shape[2:])
    torch.bmm(each, inputs, out=out.view(b * heads, channels, -1))
    return out


def offset_of(constants: Tensor, reach: Tensor) -> Tensor:
    """Return what features that are the same in all frames, (K, C_out/K, S), add to joints that they reach,
    (B, K, U, S): (B, C_out, U).
    """
    return torch.matmul(constants, reach.transpose(2, 3)).flatten(1, 2)


def aggregate(x: Tensor, topology: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
    """Return the mixed channels of gathered neighbours plus `offset` (B, C_out, U): (B, C_out, U, T)."""
    return mix(weight, gather(topology, x)).add_(offset.unsqueeze(-1))


class AggregationNorm(torch.autograd.Function):
    """relu(batch norm(`aggregate`) + shortcut), for training: keeps its arguments and its output, which is the next
    layer's.

    apply(x (B, C_in, V, T), shortcut (B, C_out, U, T) or None for x itself, topology (B, K, U, V), weight
    (K, C_out/K, C_in/K), constants (K, C_out/K, S), reach (B, K, U, S), norm weight (C_out), norm bias (C_out), eps) ->
    (output (B, C_out, U, T), mean, var), the moments (C_out) in front of the norm. The offset is that of S features
    which are the same in all frames, `offset_of`. All arguments but x and the shortcut may be more precise than x; sums
    that become gradients are at least float32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, shortcut: Tensor | None, topology: Tensor, weight: Tensor, constants: Tensor,
                reach: Tensor, norm_weight: Tensor, norm_bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        with without_autocast(x):
            offset = offset_of(constants, reach)
            mixed = x.new_empty(x.shape[0], offset.shape[1], topology.shape[2], x.shape[3])
            matrices, weights, offsets = (tensor.to(x.dtype) for tensor in (topology, weight, offset))
            rows = []
            for bodies in body_chunks(mixed):
                mix(weights, gather(matrices[bodies], x[bodies]), out=mixed[bodies])
                mixed[bodies].add_(offsets[bodies].unsqueeze(-1))
                rows.append(row_moments(mixed[bodies]))
            moments = merge_moments(rows, mixed[0, 0].numel())
            out = normalize(mixed, norm_weight, norm_bias, moments, eps)
            out = out.add_(x if shortcut is None else shortcut).relu_()
        ctx.save_for_backward(x, topology, weight, constants, reach, norm_weight, out, *moments)
        ctx.eps, ctx.has_shortcut = eps, shortcut is not None
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, topology, weight, constants, reach, norm_weight, out, *moments = ctx.saved_tensors
        with without_autocast(x):
            offset = offset_of(constants, reach)
            grad = relu_backward(grad.contiguous(), out)
            gathered, mixed = torch.empty_like(x), torch.empty_like(out)
            matrices, weights, offsets = (tensor.to(x.dtype) for tensor in (topology, weight, offset))
            chunks = body_chunks(mixed)
            for bodies in chunks:
                mix(weights, gather(matrices[bodies], x[bodies], out=gathered[bodies]), out=mixed[bodies])
                mixed[bodies].add_(offsets[bodies].unsqueeze(-1))
            grad_mixed, *grad_norm = normalize_backward(grad, mixed, norm_weight, Moments(*moments), ctx.eps)
            del mixed
            grad_x = torch.empty_like(x)
            grad_topology = torch.empty_like(topology)
            grad_weight = torch.zeros_like(weight)
            for bodies in chunks:
                some = grad_mixed[bodies]
                grad_weight += _products(some, gathered[bodies], len(weight)).sum(dim=0, dtype=weight.dtype)
                grad_gathered = mix(weights.transpose(1, 2), some)
                grad_topology[bodies] = _topology_grad(grad_gathered, x[bodies], topology.shape[1])
                gather(matrices[bodies].transpose(2, 3), grad_gathered, out=grad_x[bodies])
            if not ctx.has_shortcut:
                grad_x += grad
            grad_offset = grad_mixed.sum(dim=3, dtype=offset.dtype).unflatten(1, (len(constants), -1))
            grad_constants = torch.matmul(grad_offset, reach).sum(dim=0)
            grad_reach = torch.matmul(grad_offset.transpose(2, 3), constants)
        return (grad_x, grad if ctx.has_shortcut else None, grad_topology, grad_weight, grad_constants, grad_reach,
                *grad_norm, None)


def _products(grad: Tensor, x: Tensor, heads: int) -> Tensor:
    """Return the gradients of `mix`'s weight by body, (B, K, C_out/K, C_in/K)."""
    grads, inputs = (tensor.flatten(2).unflatten(1, (heads, -1)) for tensor in (grad, x))
    return torch.matmul(grads, inputs.transpose(2, 3))


def _topology_grad(grad: Tensor, x: Tensor, heads: int) -> Tensor:
    """Return the gradient of `gather`'s topology, (B, K, U, V), given that of what is gathered."""
    by_channel = torch.matmul(grad, x.transpose(2, 3))  # (B, C, U, V)
    return by_channel.unflatten(1, (heads, -1)).sum(dim=2, dtype=torch.promote_types(x.dtype, torch.float32))


class RectifiedSum(torch.autograd.Function):
    """relu(x) + y, which keeps where x is positive, a byte each. apply(x, y), alike in shape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        return torch.relu(x).add_(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        [positive] = ctx.saved_tensors
        return grad * positive, grad
