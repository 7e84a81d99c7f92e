"""Channel-wise refined aggregation (CTR-GCN, equations 2 to 6) of all subsets as one operator.

Axes: B bodies, S subsets, C channels in or out, R relation channels, V source joint, U target joint, T frames.
Activations are (B, C, V, T): frames innermost, so that the product with a topology is one matrix product over the
sources of all subsets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.pointwise import pointwise, pointwise_weight_grad
from skeleton_lab.precision import without_autocast


class AggregationWeights(NamedTuple):
    """The subsets' convolutions, laid side by side.

    relation_weight (2, S, R, C_in) and relation_bias (2, S, R): phi and psi. feature_weight (C_out, S, C_in) and
    feature_bias (C_out, S). refine_weight (S, C_out, R) and refine_bias (S, C_out): xi, times alpha.
    shared (S, U, V): the topologies to refine.
    """

    relation_weight: Tensor
    relation_bias: Tensor
    feature_weight: Tensor
    feature_bias: Tensor
    refine_weight: Tensor
    refine_bias: Tensor
    shared: Tensor


def _relations(x: Tensor, weights: AggregationWeights) -> tuple[Tensor, Tensor]:
    """Return the mean of x over time (B, C_in, V) and tanh(p_u - q_v) as (B, S, R, V, U), at least in float32.

    A 1x1 convolution commutes with the mean, so the mean comes first.
    """
    dtype = weights.relation_weight.dtype
    mean = x.mean(dim=3, dtype=torch.promote_types(x.dtype, dtype))
    projected = torch.matmul(weights.relation_weight.flatten(0, 2), mean) + weights.relation_bias.view(-1, 1)
    p, q = projected.unflatten(1, weights.relation_bias.shape).unbind(dim=1)  # (B, S, R, V)
    return mean, torch.tanh(p.unsqueeze(-2) - q.unsqueeze(-1))


def _extended(relations: Tensor, weights: AggregationWeights, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return xi's weight (S, C_out, R+2) and its operand (B, S, R+2, V*U), such that their product is the topologies.

    Two more channels carry the shared topology, with weight one, and a one, with xi's bias for weight.
    """
    b, s, r, v, _ = relations.shape
    operand = relations.new_empty(b, s, r + 2, v * v)
    operand[:, :, :r] = relations.flatten(3)
    operand[:, :, r] = weights.shared.transpose(1, 2).flatten(1)
    operand[:, :, r + 1] = 1
    ones = torch.ones_like(weights.refine_bias)
    weight = torch.cat([weights.refine_weight, torch.stack([ones, weights.refine_bias], dim=-1)], dim=-1)
    return weight.to(dtype), operand.to(dtype)


def _topologies(weight: Tensor, operand: Tensor, v: int) -> Tensor:
    """Return the refined topologies (B, C_out, S*V, U) from `_extended`'s weight and operand."""
    b, s, _, _ = operand.shape
    topologies = operand.new_empty(b, weight.shape[1], s, v * v)
    for subset in range(s):
        torch.bmm(weight[subset].expand(b, -1, -1), operand[:, subset], out=topologies[:, :, subset])
    return topologies.view(b, -1, s * v, v)


def _features(x: Tensor, weights: AggregationWeights) -> Tensor:
    """Return f(x) of all subsets, (B, C_out, S*V, T)."""
    b, _, v, t = x.shape
    features = pointwise(weights.feature_weight.flatten(0, 1).to(x.dtype), x)  # (B, C_out*S, V, T)
    features += weights.feature_bias.to(x.dtype).view(-1, 1, 1)
    return features.view(b, -1, weights.feature_bias.shape[1] * v, t)


class RefinedAggregation(torch.autograd.Function):
    """y[b,c,u,t] = sum over s, v of Q[b,c,s,v,u] f(x)[b,c,s,v,t], Q = alpha * xi(tanh(p_u - q_v)) + A.

    Keeps x only; features, relations and topologies, wider than x by far, are computed again for the gradients.

    apply(x (B, C_in, V, T), *AggregationWeights) -> (B, C_out, U, T), in the dtype of x.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *tensors: Tensor) -> Tensor:
        weights = AggregationWeights(*tensors)
        ctx.save_for_backward(x, *weights)
        with without_autocast(x):
            _, relations = _relations(x, weights)
            topologies = _topologies(*_extended(relations, weights, x.dtype), x.shape[2])
            return torch.matmul(topologies.transpose(2, 3), _features(x, weights))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *tensors = ctx.saved_tensors
        weights = AggregationWeights(*tensors)
        with without_autocast(x):
            mean, relations = _relations(x, weights)
            weight, operand = _extended(relations, weights, x.dtype)
            grad = grad.contiguous()
            grad_topologies = torch.matmul(_features(x, weights), grad.transpose(2, 3))  # (B, C_out, S*V, U)
            grad_weight, grad_operand = _refinement_backward(grad_topologies, weight, operand)
            topologies = _topologies(weight, operand, x.shape[2])
            grad_features = torch.matmul(topologies, grad)  # (B, C_out, S*V, T)
            grad_feature_weight, grad_feature_bias, grad_x = _features_backward(grad_features, x, weights)
            grad_relation_weight, grad_relation_bias, grad_mean = _relations_backward(
                grad_operand, relations, mean, weights)
            if ctx.needs_input_grad[0]:
                grad_x += (grad_mean / x.shape[3]).to(x.dtype).unsqueeze(-1)
        r, v = relations.shape[2], x.shape[2]
        grad_shared = grad_operand[:, :, r].sum(dim=0).view(-1, v, v).transpose(1, 2)
        grads = AggregationWeights(grad_relation_weight, grad_relation_bias, grad_feature_weight, grad_feature_bias,
                                   grad_weight[..., :r], grad_weight[..., r + 1], grad_shared)
        return grad_x, *(grad.to(tensor.dtype) for grad, tensor in zip(grads, weights, strict=True))


def _refinement_backward(grad_topologies: Tensor, weight: Tensor, operand: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of `_topologies`' weight and operand, at least in float32."""
    b, s, _, vv = operand.shape
    grads = grad_topologies.view(b, weight.shape[1], s, vv)
    dtype = torch.promote_types(operand.dtype, torch.float32)
    grad_weight = torch.empty_like(weight, dtype=dtype)
    grad_operand = torch.empty_like(operand, dtype=dtype)
    for subset in range(s):
        grad = grads[:, :, subset]  # (B, C_out, V*U)
        grad_weight[subset] = torch.bmm(grad, operand[:, subset].transpose(1, 2)).sum(dim=0, dtype=dtype)
        grad_operand[:, subset] = torch.matmul(weight[subset].t(), grad)
    return grad_weight, grad_operand


def _features_backward(grad_features: Tensor, x: Tensor,
                       weights: AggregationWeights) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the feature convolution's weight, its bias, and of x by that way."""
    b, _, v, t = x.shape
    grad = grad_features.view(b, -1, v, t)  # (B, C_out*S, V, T)
    grad_bias = grad.flatten(2).sum(dim=2, dtype=weights.feature_bias.dtype).sum(dim=0)
    grad_weight = pointwise_weight_grad(grad, x)
    grad_x = pointwise(weights.feature_weight.flatten(0, 1).to(x.dtype).t(), grad)
    return grad_weight.view_as(weights.feature_weight), grad_bias.view_as(weights.feature_bias), grad_x


def _relations_backward(grad_operand: Tensor, relations: Tensor, mean: Tensor,
                        weights: AggregationWeights) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of phi and psi's weights, their biases, and of the mean over time (B, C_in, V)."""
    r = relations.shape[2]
    grad = grad_operand[:, :, :r].view_as(relations) * (1 - relations.square())  # (B, S, R, V, U)
    grad_projected = torch.stack([grad.sum(dim=-2), -grad.sum(dim=-1)], dim=1).flatten(1, 3)  # (B, 2*S*R, V)
    grad_weight = torch.bmm(grad_projected, mean.transpose(1, 2)).sum(dim=0)
    grad_bias = grad_projected.sum(dim=(0, 2))
    grad_mean = torch.matmul(weights.relation_weight.flatten(0, 2).t(), grad_projected)
    return grad_weight.view_as(weights.relation_weight), grad_bias.view_as(weights.relation_bias), grad_mean
