"""The stem of Hyper-GCN as one operator: joints to 128 channels, tanh, and a batch norm of every body, joint and
channel by itself. As equations it is `Model.embedded` in `model/reference.py`.

Axes: N clips, M bodies, B = N*M, C coordinates, D channels, V joints, T frames. Frames are innermost, and channels come
before joints: vectors of the norm, (M*V*D) in checkpoints, are (M*D*V) here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.norm import Moments, batch_moments, normalize, normalize_backward
from skeleton_lab.nn.pointwise import pointwise, pointwise_weight_grad
from skeleton_lab.nn.precision import without_autocast


def channels_first(vector: Tensor, bodies: int, joints: int) -> Tensor:
    """Return a vector (M*V*D) of a checkpoint as (M*D*V)."""
    return vector.view(bodies, joints, -1).transpose(1, 2).flatten()


def joints_first(vector: Tensor, bodies: int, joints: int) -> Tensor:
    """Return a vector (M*D*V) as a checkpoint has it, (M*V*D)."""
    return vector.view(bodies, -1, joints).transpose(1, 2).flatten()


def embed(joints: Tensor, weight: Tensor, offset: Tensor, bodies: int) -> Tensor:
    """Return tanh(weight (D, C) times joints (B, C, V, T) plus offset (D, V)), as the norm takes it: (N, M*D*V, T)."""
    hidden = pointwise(weight, joints).add_(offset.unsqueeze(-1)).tanh_()
    return hidden.view(len(joints) // bodies, -1, joints.shape[3])


class NormedEmbedding(torch.autograd.Function):
    """batch norm(`embed`), for training: keeps the joints only.

    apply(joints (B, C, V, T), weight (D, C), offset (D, V), norm weight (M*D*V), norm bias (M*D*V), bodies, eps) ->
    (output (B, D, V, T), mean, var), the moments (M*D*V) in front of the norm.
    """

    @staticmethod
    def forward(ctx: Any, joints: Tensor, weight: Tensor, offset: Tensor, norm_weight: Tensor, norm_bias: Tensor,
                bodies: int, eps: float) -> tuple[Tensor, ...]:
        with without_autocast(joints):
            hidden = embed(joints, weight, offset, bodies)
            moments = batch_moments(hidden)
            out = normalize(hidden, norm_weight, norm_bias, moments, eps)
        ctx.save_for_backward(joints, weight, offset, norm_weight, *moments)
        ctx.bodies, ctx.eps = bodies, eps
        ctx.mark_non_differentiable(*moments)
        return out.view(len(joints), -1, *joints.shape[2:]), *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        joints, weight, offset, norm_weight, *moments = ctx.saved_tensors
        with without_autocast(joints):
            hidden = embed(joints, weight, offset, ctx.bodies)
            grad, *grad_norm = normalize_backward(grad.contiguous().view_as(hidden), hidden, norm_weight,
                                                  Moments(*moments), ctx.eps)
            grad = torch.ops.aten.tanh_backward(grad, hidden).view(len(joints), -1, *joints.shape[2:])
            grad_joints = pointwise(weight.t(), grad) if ctx.needs_input_grad[0] else None
            grad_weight = pointwise_weight_grad(grad, joints)
        return grad_joints, grad_weight, grad.sum(dim=(0, 3)), *grad_norm, None, None
