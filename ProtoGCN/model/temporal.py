"""Temporal branches over the joints and their mean, which each joint gets back, as one operator.
As an equation it is the first half of `TemporalUnit` in `model/reference.py`.

The mean joint of a 1x1 convolution is the mean of the convolution's joints, so it is taken behind that. Behind a ReLU
it is a joint like the others. Tensors are (B, C, V, T), or with V+1 joints, the mean last.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.norm import Moments, batch_moments, normalize, normalize_backward, relu_backward, relu_backward_
from skeleton_lab.nn.pointwise import pointwise, pointwise_weight_grad
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.temporal import BranchPlan, convolve, convolve_backward


class MeanJointBranches(torch.autograd.Function):
    """relu(batch norm(branches, each joint's plus its share of the mean joint's)), training mode.

    Keeps its input, the first convolution's output, the second norm's input, and its output, which the next layer keeps
    in any case. The first convolution's bias is left out in front of a norm, as in `skeleton_lab.nn.temporal`.

    apply(x (B, C, V, T), gates (V), plan, weight1 (C, C), bias1 (C), norm1 weight and bias (5b), norm2 weight and bias
    (C), bias2 (4b), *kernels (b, b, 3, 1)) -> (output (B, C, V, T'), mean1, var1 (5b), mean2, var2 (C)), where b is the
    width of a branch.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gates: Tensor, plan: BranchPlan, weight1: Tensor, bias1: Tensor,
                norm1_weight: Tensor, norm1_bias: Tensor, norm2_weight: Tensor, norm2_bias: Tensor, bias2: Tensor,
                *kernels: Tensor) -> tuple[Tensor, ...]:
        head, plain = weight1.split(len(norm1_weight))
        with without_autocast(x):
            hidden = with_mean_joint(head, x)
            moments1 = batch_moments(hidden)
            active = normalize(hidden, norm1_weight, norm1_bias, moments1, plan.eps).relu_()
            merged = x.new_empty(x.shape[0], len(weight1), *plan.every_stride(active[:1]).shape[2:])
            convolve(active, plan, kernels, merged)
            with_mean_joint(plain, plan.every_stride(x), out=merged[:, len(head):])
            bias = torch.cat([bias2, torch.zeros_like(bias1[:len(plain)]), bias1[len(head):]])
            merged += bias.to(x.dtype).view(-1, 1, 1)
            shared, mean_joint = handed_back(merged, gates)
            moments2 = batch_moments(shared)
            out = normalize(shared, norm2_weight, norm2_bias, moments2, plan.eps).relu_()
        ctx.plan = plan
        ctx.save_for_backward(x, gates, hidden, shared, mean_joint.clone(), out, weight1, norm1_weight, norm1_bias,
                              norm2_weight, bias1, *moments1, *moments2, *kernels)
        ctx.mark_non_differentiable(*moments1, *moments2)
        return out, *moments1, *moments2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        (x, gates, hidden, shared, mean_joint, out, weight1, norm1_weight, norm1_bias, norm2_weight, bias1,
         *rest) = ctx.saved_tensors
        plan, moments1, moments2, kernels = ctx.plan, Moments(*rest[:2]), Moments(*rest[2:4]), rest[4:]
        with without_autocast(x):
            grad, *grad_norm2 = normalize_backward(relu_backward(grad, out), shared, norm2_weight, moments2, plan.eps)
            grad_gates = (grad * mean_joint).sum(dim=(0, 1, 3), dtype=gates.dtype)
            grad_mean = (grad * gates.to(grad.dtype).unsqueeze(-1)).sum(dim=2, keepdim=True)
            grad = torch.cat([grad, grad_mean], dim=2)  # (B, C, V+1, T')
            active = normalize(hidden, norm1_weight, norm1_bias, moments1, plan.eps).relu_()
            grad_active, grad_kernels = convolve_backward(grad, active, plan, kernels)
            relu_backward_(grad_active, active)
            grad_hidden, *grad_norm1 = normalize_backward(grad_active, hidden, norm1_weight, moments1, plan.eps)
            grad_x, grad_weight1 = _first_backward(grad_hidden, grad, x, weight1, plan)
            grad_bias = grad.sum(dim=(0, 2, 3), dtype=bias1.dtype)
        split, convolved = hidden.shape[1], len(bias1) - 2 * (len(bias1) - hidden.shape[1])
        grad_bias1 = torch.cat([torch.zeros_like(bias1[:split]), grad_bias[split:]])
        return (grad_x, grad_gates, None, grad_weight1, grad_bias1, *grad_norm1, *grad_norm2, grad_bias[:convolved],
                *grad_kernels)


def with_mean_joint(weight: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a 1x1 convolution, weight (C_out, C), of x (B, C, V, T) and of its mean joint: (B, C_out, V+1, T)."""
    joints = x.shape[2]
    if out is None:
        out = x.new_empty(x.shape[0], len(weight), joints + 1, x.shape[3])
    out[:, :, :joints] = pointwise(weight, x)
    torch.mean(out[:, :, :joints], dim=2, out=out[:, :, joints])
    return out


def handed_back(merged: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
    """Return the joints of (B, C, V+1, T), each with its share, gates (V), of the mean joint, and the mean joint."""
    joints, mean_joint = merged.split([len(gates), 1], dim=2)
    return torch.addcmul(joints, mean_joint, gates.to(merged.dtype).unsqueeze(-1)), mean_joint


def _first_backward(grad_hidden: Tensor, grad: Tensor, x: Tensor, weight1: Tensor,
                    plan: BranchPlan) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and of the 1x1 convolutions' weight, given those of `hidden` and `merged`."""
    split = grad_hidden.shape[1]
    head, plain = weight1.split(split)
    grad_head, grad_plain = _without_mean_joint(grad_hidden), _without_mean_joint(grad[:, split:])
    grad_weight1 = torch.cat([pointwise_weight_grad(grad_head, x),
                              pointwise_weight_grad(grad_plain, plan.every_stride(x))])
    grad_x = pointwise(head.t(), grad_head)
    plan.every_stride(grad_x).add_(pointwise(plain.t(), grad_plain))
    return grad_x, grad_weight1


def _without_mean_joint(grad: Tensor) -> Tensor:
    """Return the gradient of the joints (B, C, V, T), given theirs and their mean's (B, C, V+1, T)."""
    joints = grad.shape[2] - 1
    return torch.add(grad[:, :, :joints], grad[:, :, joints:], alpha=1 / joints)
