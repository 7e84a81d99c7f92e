"""What the five branches of FreqMixFormer's temporal unit do first, as one operator.
As equations they are `TemporalUnit` in `model/reference.py`.

Axes: B bodies, C channels, b = C/5 of a branch, V joints, T frames, F = ceil(T / stride).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.norm import Moments, batch_moments, normalize, normalize_backward, relu_backward_
from skeleton_lab.nn.pointwise import pointwise, pointwise_weight_grad
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.temporal import BranchPlan, convolve, convolve_backward


class FirstLayers(torch.autograd.Function):
    """Two convolved branches and a pooled one as far as their last norm, and the 1x1 convolutions of the two others.

    Training mode; keeps its input, and the three branches before their first norm.

    apply(x (B, C, V, T), plan, weight (C, C), bias (C), norm weight and bias (3b), *temporal weights (b, b, k, 1)) ->
    (the three (B, 3b, V, F), the two (B, 2b, V, F), mean and variance (3b) of the first norm). Biases of the three are
    left out, since a norm takes them out again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: BranchPlan, weight: Tensor, bias: Tensor, norm_weight: Tensor,
                norm_bias: Tensor, *kernels: Tensor) -> tuple[Tensor, ...]:
        split = len(norm_weight)
        head, plain = weight.split([split, len(weight) - split])
        with without_autocast(x):
            hidden = pointwise(head, x)
            moments = batch_moments(hidden)
            active = normalize(hidden, norm_weight, norm_bias, moments, plan.eps).relu_()
            seen = plan.every_stride(x)
            out = x.new_empty(len(x), split, *seen.shape[2:])
            convolve(active, plan, kernels, out)
            others = pointwise(plain, seen).add_(bias[split:, None, None].to(x.dtype))
        ctx.plan = plan
        ctx.save_for_backward(x, hidden, weight, bias, norm_weight, norm_bias, *moments, *kernels)
        ctx.mark_non_differentiable(*moments)
        return out, others, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_others: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, hidden, weight, bias, norm_weight, norm_bias, mean, var, *kernels = ctx.saved_tensors
        plan, moments, split = ctx.plan, Moments(mean, var), len(norm_weight)
        head, plain = weight.split([split, len(weight) - split])
        with without_autocast(x):
            active = normalize(hidden, norm_weight, norm_bias, moments, plan.eps).relu_()
            grad_active, grad_kernels = convolve_backward(grad.contiguous(), active, plan, kernels)
            relu_backward_(grad_active, active)
            grad_hidden, *grad_norm = normalize_backward(grad_active, hidden, norm_weight, moments, plan.eps)
            grad_others = grad_others.contiguous()
            grad_weight = torch.cat([pointwise_weight_grad(grad_hidden, x),
                                     pointwise_weight_grad(grad_others, plan.every_stride(x))])
            grad_bias = torch.zeros_like(bias)
            grad_bias[split:] = grad_others.sum(dim=(0, 2, 3), dtype=bias.dtype)
            grad_x = pointwise(head.t(), grad_hidden)
            plan.every_stride(grad_x).add_(pointwise(plain.t(), grad_others))
        return grad_x, None, grad_weight, grad_bias, *grad_norm, *grad_kernels


def largest(z: Tensor) -> Tensor:
    """Return the maximum of each frame of (B, C, V, F) over channels and joints, (B, F)."""
    return z.flatten(1, 2).max(dim=1).values
