"""Temporal branches over the joints and their mean, which each joint gets back, with what is around them, as one
operator: from the norm and the ReLU in front of them to the convolution behind them.
As an equation it is `TemporalUnit` in `model/reference.py` but for its last norm, of a spatial unit's end.

The mean joint of a 1x1 convolution is the mean of the convolution's joints, so it is taken behind that. Behind a ReLU
it is a joint like the others. Tensors are (B, C, V, T), or with V+1 joints, the mean last.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.norm import Moments, batch_moments, normalize, normalize_backward, relu_backward_
from skeleton_lab.nn.pointwise import pointwise, pointwise_weight_grad
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.temporal import BranchPlan, convolve, convolve_backward


class BranchWeights(NamedTuple):
    """What the branches and the layers around them learn, where b is the width of a branch.

    gates (V), the mean joint's share of each. weight1 (C, C), bias1 (C): the first convolutions side by side.
    norm1_weight, norm1_bias (5b). norm2_weight, norm2_bias (C). bias2 (4b): of the convolutions over time. mix (C, C),
    mix_bias (C): the last convolution. kernels (4b, b, 3, 1): those over time, one on top of the other.
    """

    gates: Tensor
    weight1: Tensor
    bias1: Tensor
    norm1_weight: Tensor
    norm1_bias: Tensor
    norm2_weight: Tensor
    norm2_bias: Tensor
    bias2: Tensor
    mix: Tensor
    mix_bias: Tensor
    kernels: Tensor

    def separate_kernels(self) -> list[Tensor]:
        """Return the kernel (b, b, 3, 1) of each convolution over time."""
        return list(self.kernels.split(self.kernels.shape[1]))


class NormedBranches(torch.autograd.Function):
    """mix relu(batch norm(branches of a)), a = relu(batch norm(x) + shortcut), in training mode.

    Keeps x, the shortcut, the first convolution's output and the second norm's input; what lies between them follows
    from these by norms and ReLUs, without another product. Biases in front of a norm are left out, as in
    `skeleton_lab.nn.temporal`.

    apply(x (B, C, V, T), shortcut like x, norm weight (C), norm bias (C), mean (C), var (C), plan, *BranchWeights) ->
    (mix ... (B, C, V, T'), mean1, var1 (5b), mean2, var2 (C), mean3, var3 (C)): the moments of what the two norms
    inside take, and of the output.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, shortcut: Tensor, norm_weight: Tensor, norm_bias: Tensor, mean: Tensor,
                var: Tensor, plan: BranchPlan, *tensors: Tensor) -> tuple[Tensor, ...]:
        weights = BranchWeights(*tensors)
        head, plain = weights.weight1.split(len(weights.norm1_weight))
        with without_autocast(x):
            a = normalize(x, norm_weight, norm_bias, Moments(mean, var), plan.eps).add_(shortcut).relu_()
            hidden = with_mean_joint(head, a)
            moments1 = batch_moments(hidden)
            active = normalize(hidden, weights.norm1_weight, weights.norm1_bias, moments1, plan.eps).relu_()
            merged = x.new_empty(len(x), len(weights.weight1), *plan.every_stride(active[:1]).shape[2:])
            convolve(active, plan, weights.separate_kernels(), merged)
            with_mean_joint(plain, plan.every_stride(a), out=merged[:, len(head):])
            bias1 = weights.bias1
            bias = torch.cat([weights.bias2, torch.zeros_like(bias1[:len(plain)]), bias1[len(head):]])
            merged += bias.to(x.dtype).view(-1, 1, 1)
            shared, mean_joint = handed_back(merged, weights.gates)
            moments2 = batch_moments(shared)
            out = pointwise(weights.mix, _activated(shared, weights, moments2, plan))
            moments3 = batch_moments(out)
        ctx.plan = plan
        moments = (*moments1, *moments2, *moments3)
        ctx.save_for_backward(x, shortcut, norm_weight, norm_bias, mean, var, hidden, shared, mean_joint.clone(),
                              *moments[:4], *tensors)
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, shortcut, norm_weight, norm_bias, mean, var, hidden, shared, mean_joint, *rest = ctx.saved_tensors
        moments1, moments2, weights = Moments(*rest[:2]), Moments(*rest[2:4]), BranchWeights(*rest[4:])
        plan = ctx.plan
        with without_autocast(x):
            grad_merged, grads = _last_backward(grad.contiguous(), shared, mean_joint, moments2, weights, plan)
            active = normalize(hidden, weights.norm1_weight, weights.norm1_bias, moments1, plan.eps).relu_()
            grad_active, grad_kernels = convolve_backward(grad_merged, active, plan, weights.separate_kernels())
            relu_backward_(grad_active, active)
            grad_hidden, *grad_norm1 = normalize_backward(grad_active, hidden, weights.norm1_weight, moments1, plan.eps)
            del active, grad_active
            a = normalize(x, norm_weight, norm_bias, Moments(mean, var), plan.eps).add_(shortcut).relu_()
            grad_a, grad_weight1 = _first_backward(grad_hidden, grad_merged, a, weights.weight1, plan)
            relu_backward_(grad_a, a)
            grad_x, *grad_norm = normalize_backward(grad_a, x, norm_weight, Moments(mean, var), plan.eps)
            grads |= {"weight1": grad_weight1, "norm1_weight": grad_norm1[0], "norm1_bias": grad_norm1[1],
                      "kernels": torch.cat(grad_kernels), "mix_bias": torch.zeros_like(weights.mix_bias)}
        return grad_x, grad_a, *grad_norm, None, None, None, *BranchWeights(**grads)


def _activated(shared: Tensor, weights: BranchWeights, moments: Moments, plan: BranchPlan) -> Tensor:
    """Return what the last convolution takes, relu(batch norm(shared))."""
    return normalize(shared, weights.norm2_weight, weights.norm2_bias, moments, plan.eps).relu_()


def _last_backward(grad: Tensor, shared: Tensor, mean_joint: Tensor, moments: Moments, weights: BranchWeights,
                   plan: BranchPlan) -> tuple[Tensor, dict[str, Tensor]]:
    """Take the gradient of the output back to what the branches give, (B, C, V+1, T'); with those of the weights."""
    out = _activated(shared, weights, moments, plan)
    grad_mix = pointwise_weight_grad(grad, out)
    grad = relu_backward_(pointwise(weights.mix.t(), grad), out)
    grad, norm2_weight, norm2_bias = normalize_backward(grad, shared, weights.norm2_weight, moments, plan.eps)
    gates = (grad * mean_joint).sum(dim=(0, 1, 3), dtype=weights.gates.dtype)
    grad_mean = (grad * weights.gates.to(grad.dtype).unsqueeze(-1)).sum(dim=2, keepdim=True)
    grad = torch.cat([grad, grad_mean], dim=2)  # (B, C, V+1, T')
    bias = grad.sum(dim=(0, 2, 3), dtype=weights.bias1.dtype)
    convolved, split = len(weights.bias2), len(weights.norm1_weight)
    return grad, {"gates": gates, "mix": grad_mix, "norm2_weight": norm2_weight, "norm2_bias": norm2_bias,
                  "bias1": torch.cat([torch.zeros_like(bias[:split]), bias[split:]]), "bias2": bias[:convolved]}


def with_mean_joint(weight: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a 1x1 convolution, weight (C_out, C), of x (B, C, V, T) and of its mean joint: (B, C_out, V+1, T)."""
    joints = x.shape[2]
    if out is None:
        out = x.new_empty(x.shape[0], len(weight), joints + 1, x.shape[3])
    pointwise(weight, x, out=out[:, :, :joints])
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
