"""1x1 convolutions as matrix products, and one that is followed by a batch norm as one operator.
As standard operators the latter is `PointwiseConvNorm` in `skeleton_lab/nn/reference.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.chunking import all_at_once
from skeleton_lab.nn.norm import Moments, batch_moments, normalize, normalize_backward
from skeleton_lab.nn.precision import without_autocast

CACHE_BYTES = 512 * 1024  # of a processor's second cache


def pointwise(weight: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply (C_out, C_in) into the channels of x (B, C_in, ...): a 1x1 convolution without bias.

    `out` (B, C_out, ...) may be a range of channels of a larger tensor.
    """
    # matmul may fold the batch into the rows, which copies x; bmm never does
    weights = weight.expand(x.shape[0], -1, -1)
    if out is None:
        return torch.bmm(weights, x.flatten(2)).unflatten(2, x.shape[2:])
    torch.bmm(weights, x.flatten(2), out=out.flatten(2))
    return out


def pointwise_weight_grad(grad: Tensor, x: Tensor) -> Tensor:
    """Return the gradient (C_out, C_in) of `pointwise`'s weight."""
    return torch.bmm(grad.flatten(2), x.flatten(2).transpose(1, 2)).sum(dim=0)


def add_pointwise_weight_grad(total: Tensor, grad: Tensor, x: Tensor) -> None:
    """Add the gradient of `pointwise`'s weight to `total` (C_out, C_in); grad (B, C_out, P), x (B, C_in, P)."""
    if len(x) == 1 and total.dtype == x.dtype:
        total.addmm_(grad[0], x[0].t())
    else:
        total += torch.bmm(grad, x.transpose(1, 2)).sum(dim=0, dtype=total.dtype)


def body_chunks(x: Tensor, cache_bytes: int = CACHE_BYTES) -> list[slice]:
    """Return slices of the batch axis of x (B, ...) to work on in turn.

    On a CPU a slice is `cache_bytes` or one body, so that a chain of operators finds its operands in the cache; on a
    GPU it is everything.
    """
    bodies = x.shape[0]
    chunk = bodies if all_at_once(x) else max(1, cache_bytes // (x[0].numel() * x.element_size()))
    return [slice(start, start + chunk) for start in range(0, bodies, chunk)]


def strided_frames(x: Tensor, stride: int, time_axis: int) -> Tensor:
    """Return the frames of x at multiples of `stride` along axis 2 or 3: a view, x itself for a stride of one."""
    if stride == 1:
        return x
    return x[:, :, ::stride] if time_axis == 2 else x[:, :, :, ::stride]


class PointwiseNorm(torch.autograd.Function):
    """batch norm(1x1 convolution(every stride-th frame of x)), training mode: keeps x only.

    The convolution's bias is left out, since the norm takes it out again; its gradient is zero.

    apply(x (B, C_in, ...), weight (C_out, C_in), bias (C_out), norm weight (C_out), norm bias (C_out), eps, stride,
    time_axis) -> (output (B, C_out, ...), mean (C_out), var (C_out)).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm_weight: Tensor, norm_bias: Tensor, eps: float,
                stride: int, time_axis: int) -> tuple[Tensor, Tensor, Tensor]:
        with without_autocast(x):
            mixed = pointwise(weight, strided_frames(x, stride, time_axis))
            moments = batch_moments(mixed)
            out = normalize(mixed, norm_weight, norm_bias, moments, eps)
        ctx.save_for_backward(x, weight, bias, norm_weight, *moments)
        ctx.mark_non_differentiable(*moments)
        ctx.eps, ctx.stride, ctx.time_axis = eps, stride, time_axis
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, bias, norm_weight, *moments = ctx.saved_tensors
        with without_autocast(x):
            seen = strided_frames(x, ctx.stride, ctx.time_axis).contiguous()
            grad_mixed, grad_norm_weight, grad_norm_bias = normalize_backward(
                grad.contiguous(), pointwise(weight, seen), norm_weight, Moments(*moments), ctx.eps)
            grad_x = None
            if ctx.needs_input_grad[0]:
                grad_x = pointwise(weight.t(), grad_mixed)
                if ctx.stride > 1:
                    spread = torch.zeros_like(x)
                    strided_frames(spread, ctx.stride, ctx.time_axis).copy_(grad_x)
                    grad_x = spread
            grad_weight = pointwise_weight_grad(grad_mixed, seen)
        return grad_x, grad_weight, torch.zeros_like(bias), grad_norm_weight, grad_norm_bias, None, None, None
