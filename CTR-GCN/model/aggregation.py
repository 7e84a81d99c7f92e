"""Channel-wise refined aggregation (CTR-GCN, section 3.2) of all subsets as one operator.
As equations it is `ChannelWiseRefinement` in `model/reference.py`.

Axes: B bodies, S subsets, C channels in or out, R relation channels, V source joint, U target joint, T frames.
Activations are (B, C, V, T): frames innermost, so that the product with a topology is one matrix product over the
sources of all subsets.

Features (B, C_out, S*V, T) and topologies (B, C_out, S*V, U) are far wider than the input. They are never kept: the
backward pass computes them again. On a CPU they exist for a body or two at a time, in buffers that stay in its cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.chunking import all_at_once, scratch
from skeleton_lab.nn.norm import RowMoments, merge_moments, row_moments
from skeleton_lab.nn.pointwise import add_pointwise_weight_grad, body_chunks
from skeleton_lab.nn.precision import without_autocast


class AggregationWeights(NamedTuple):
    """The subsets' convolutions, laid side by side.

    relation_weight (2*S*R, C_in) and relation_bias (2*S*R): phi of every subset, then psi. feature_weight
    (C_out*S, C_in) and feature_bias (C_out*S). refine_weight (S, C_out, R) and refine_bias (S, C_out): xi, times alpha.
    shared (S, U, V): the topologies to refine.
    """

    relation_weight: Tensor
    relation_bias: Tensor
    feature_weight: Tensor
    feature_bias: Tensor
    refine_weight: Tensor
    refine_bias: Tensor
    shared: Tensor


class RefinedAggregation(torch.autograd.Function):
    """y[b,c,u,t] = sum over s, v of Q[b,c,s,v,u] f(x)[b,c,s,v,t], Q = alpha * xi(tanh(p_u - q_v)) + A.

    Keeps x only.

    apply(x (B, C_in, V, T), with_moments, *AggregationWeights) -> y (B, C_out, U, T) in the dtype of x; with_moments,
    (y, mean, var) with the moments (C_out) of y.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, with_moments: bool, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        ctx.save_for_backward(x, *tensors)
        rows: list[RowMoments] = []
        with without_autocast(x):
            chunks = body_chunks(x)
            aggregation = _Aggregation(x, AggregationWeights(*tensors), chunks)
            out = x.new_empty(x.shape[0], aggregation.channels, *x.shape[2:])
            for bodies in chunks:
                aggregation.forward(bodies, out[bodies])
                if with_moments:
                    rows.append(row_moments(out[bodies]))
            if not with_moments:
                return out
            moments = merge_moments(rows, x.shape[2] * x.shape[3])
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, *tensors = ctx.saved_tensors
        grad = grad.contiguous()
        with without_autocast(x):
            chunks = body_chunks(x)
            aggregation = _Aggregation(x, AggregationWeights(*tensors), chunks)
            grad_x = torch.empty_like(x)
            for bodies in chunks:
                aggregation.backward(bodies, grad[bodies], grad_x[bodies])
        return grad_x, None, *aggregation.weight_grads()


class _Aggregation:
    """The aggregation of one batch, a chunk of bodies at a time: buffers, what all chunks share, gradients so far."""

    def __init__(self, x: Tensor, weights: AggregationWeights, chunks: list[slice]) -> None:
        b, _, v, t = x.shape
        s, channels, r = weights.refine_weight.shape
        n = min(b, chunks[0].stop)
        self.x, self.weights = x, weights
        self.channels, self.subsets, self.relations, self.joints = channels, s, r, v
        # Small things stay in single precision in any case: sums over time, relations, their gradients.
        self.exact = torch.promote_types(x.dtype, torch.float32)
        self.mean = x.mean(dim=3, dtype=self.exact)  # (B, C_in, V): a 1x1 convolution commutes with the mean over time
        projected = torch.matmul(weights.relation_weight, self.mean) + weights.relation_bias.unsqueeze(1)
        self.projected = projected.view(b, 2, s, r, v)  # p, q
        self.feature_weight = weights.feature_weight.to(x.dtype)
        self.feature_bias: Tensor | None = weights.feature_bias.to(x.dtype).unsqueeze(1)
        self.inputs, self.mixing = x.flatten(2), self.feature_weight
        if all_at_once(x):
            self._let_bias_ride_along()
        # Two more relation channels carry the shared topology, with weight one, and a one, with xi's bias for weight:
        # so refinement and what it is added to are one product.
        extra = torch.stack([torch.ones_like(weights.refine_bias), weights.refine_bias], dim=-1)
        self.refine_weight = torch.cat([weights.refine_weight, extra], dim=-1).to(x.dtype)  # (S, C_out, R+2)
        self.operand = x.new_empty(n, s, r + 2, v * v)
        self.operand[:, :, r] = weights.shared.transpose(1, 2).flatten(1)
        self.operand[:, :, r + 1] = 1
        self.topologies = x.new_empty(n, channels, s, v * v)
        self.features = x.new_empty(n, channels * s, v * t)
        self.has_grads = False

    def _let_bias_ride_along(self) -> None:
        """Give the input a channel of ones, with the bias for weight: outside a cache, adding to wide features is slow.

        Zeros fill up to a multiple of 8 channels, which GPUs multiply best.
        """
        c = self.x.shape[1]
        inputs, mixing, bias = self.inputs, self.feature_weight, self.feature_bias
        self.mixing = mixing.new_zeros(len(mixing), 8 * (c // 8 + 1))
        self.mixing[:, :c], self.mixing[:, c:c + 1] = mixing, bias
        self.inputs = inputs.new_zeros(len(inputs), self.mixing.shape[1], inputs.shape[2])
        self.inputs[:, :c], self.inputs[:, c] = inputs, 1
        self.feature_bias = None

    def forward(self, bodies: slice, out: Tensor) -> None:
        """Write the aggregation of some bodies into `out` (B, C_out, U, T)."""
        x = self.x[bodies]
        self._refine(bodies, len(x))
        topologies = self._fill_topologies(len(x))
        features = self._fill_features(bodies)
        torch.bmm(topologies.transpose(1, 2), features, out=out.flatten(0, 1))

    def backward(self, bodies: slice, grad: Tensor, grad_x: Tensor) -> None:
        """Write the gradient of some bodies' x into `grad_x` and add to the gradients of the weights."""
        if not self.has_grads:
            self._start_grads()
        x, grad = self.x[bodies], grad.flatten(0, 1)  # (B*C_out, U, T)
        relations = self._refine(bodies, len(x))
        features = self._fill_features(bodies)
        grad_topologies = self.grad_topologies[:len(x)]
        torch.bmm(features, grad.transpose(1, 2), out=grad_topologies.view(-1, self.subsets * self.joints, self.joints))
        self._refinement_backward(bodies, grad_topologies, relations)
        topologies = self._fill_topologies(len(x))
        grad_features = features  # in its place: f(x) is done with
        torch.bmm(topologies, grad, out=grad_features)
        self._features_backward(bodies, grad_features.view(len(x), -1, x.shape[2] * x.shape[3]), grad_x.flatten(2))
        grad_mean = torch.matmul(self.weights.relation_weight.t(), self.grad_projected[bodies].flatten(1, 3))
        grad_x += grad_mean.div_(x.shape[3]).to(x.dtype).unsqueeze(-1)

    def weight_grads(self) -> AggregationWeights:
        """Return the gradients of the weights, after `backward` of all bodies."""
        grad_projected = self.grad_projected.flatten(1, 3)  # (B, 2*S*R, V)
        grad_operand, grad_weight, r = self.grad_shared, self.grad_refine_weight, self.relations
        c = self.x.shape[1]
        grads = AggregationWeights(
            feature_weight=self.grad_mixing[:, :c],
            feature_bias=self.grad_mixing[:, c] if self.feature_bias is None else self.grad_bias,
            relation_weight=torch.bmm(grad_projected, self.mean.transpose(1, 2)).sum(dim=0),
            relation_bias=grad_projected.sum(dim=(0, 2)),
            refine_weight=grad_weight[..., :r], refine_bias=grad_weight[..., r + 1],
            shared=grad_operand.unflatten(1, (self.joints, self.joints)).transpose(1, 2))
        return AggregationWeights(*(grad.to(weight.dtype) for grad, weight in zip(grads, self.weights, strict=True)))

    def _start_grads(self) -> None:
        self.grad_topologies = torch.empty_like(self.topologies)
        self.grad_operand = torch.empty_like(self.operand, dtype=self.exact)
        self.has_grads = True
        self.grad_mixing = torch.zeros_like(self.mixing, dtype=self.exact)
        self.grad_bias = self.grad_mixing.new_zeros(len(self.mixing))
        self.grad_refine_weight = torch.zeros_like(self.refine_weight, dtype=self.exact)
        self.grad_shared = torch.zeros_like(self.operand[0, :, 0], dtype=self.exact)  # (S, V*U)
        self.grad_projected = torch.empty_like(self.projected)

    def _refine(self, bodies: slice, n: int) -> Tensor:
        """Return the relations tanh(p_u - q_v) of some bodies, (B, S, R, V, U), and put them into the operand."""
        p, q = self.projected[bodies].unbind(dim=1)  # (B, S, R, V)
        relations = (p.unsqueeze(-2) - q.unsqueeze(-1)).tanh_()
        self.operand[:n, :, :self.relations] = relations.flatten(3)
        return relations

    def _fill_topologies(self, n: int) -> Tensor:
        """Compute the topologies of the operand; return them as (B*C_out, S*V, U)."""
        topologies = self.topologies[:n]
        for subset in range(self.subsets):
            torch.bmm(self.refine_weight[subset].expand(n, -1, -1), self.operand[:n, subset],
                      out=topologies[:, :, subset])
        return topologies.view(-1, self.subsets * self.joints, self.joints)

    def _fill_features(self, bodies: slice) -> Tensor:
        """Compute f(x) of all subsets; return it as (B*C_out, S*V, T)."""
        inputs = self.inputs[bodies]
        features = self.features[:len(inputs)]
        torch.bmm(self.mixing.expand(len(inputs), -1, -1), inputs, out=features)
        if self.feature_bias is not None:
            features += self.feature_bias
        return features.view(-1, self.subsets * self.joints, self.x.shape[3])

    def _refinement_backward(self, bodies: slice, grad_topologies: Tensor, relations: Tensor) -> None:
        """Take the gradient of the topologies (B, C_out, S, V*U) back to xi's weight and to p and q."""
        n, r = len(grad_topologies), self.relations
        grad_operand = self.grad_operand[:n]
        for subset in range(self.subsets):
            grad = grad_topologies[:, :, subset]  # (B, C_out, V*U)
            add_pointwise_weight_grad(self.grad_refine_weight[subset], grad, self.operand[:n, subset])
            weight = self.refine_weight[subset].t().expand(n, -1, -1)
            grad_operand[:, subset] = torch.bmm(weight, grad)
        self.grad_shared += grad_operand[:, :, r].sum(dim=0)
        grad = torch.addcmul(relations.new_ones(()), relations, relations, value=-1)  # tanh' = 1 - tanh^2
        grad *= grad_operand[:, :, :r].view_as(relations)
        grad_projected = self.grad_projected[bodies]
        torch.sum(grad, dim=-2, out=grad_projected[:, 0])
        torch.sum(grad, dim=-1, out=grad_projected[:, 1]).neg_()

    def _features_backward(self, bodies: slice, grad: Tensor, grad_x: Tensor) -> None:
        """Take the gradient of the features (B, C_out*S, V*T) back to x and the feature convolution."""
        torch.bmm(self.feature_weight.t().expand(len(grad), -1, -1), grad, out=grad_x)
        add_pointwise_weight_grad(self.grad_mixing, grad, self.inputs[bodies])
        if self.feature_bias is not None:
            self.grad_bias += grad.sum(dim=2, dtype=self.exact).sum(dim=0)


class FoldedWeights(NamedTuple):
    """The weights in evaluation mode, a batch norm behind the aggregation folded into them.

    relation_weight, relation_bias (2*S*R, 1), feature_weight as in `AggregationWeights`; refine_weight
    (S, C_out, R+2), constants (S, 2, V*U): see `_Aggregation`. offset_weight (C_out, S*(R+2)) and shift (C_out, 1):
    what each channel gets of the sums over all sources, in place of the features' biases.
    """

    relation_weight: Tensor
    relation_bias: Tensor
    feature_weight: Tensor
    refine_weight: Tensor
    constants: Tensor
    offset_weight: Tensor
    shift: Tensor


def folded_weights(weights: AggregationWeights, scale: Tensor, shift: Tensor, dtype: torch.dtype) -> FoldedWeights:
    """Fold x*scale + shift, each (C_out), into the features, which enter the output linearly."""
    subsets, channels, _ = weights.refine_weight.shape
    feature_weight = weights.feature_weight * scale.repeat_interleave(subsets).unsqueeze(1)
    feature_bias = weights.feature_bias.view(channels, subsets).t() * scale  # (S, C_out)
    extra = torch.stack([torch.ones_like(weights.refine_bias), weights.refine_bias], dim=-1)
    refine_weight = torch.cat([weights.refine_weight, extra], dim=-1)  # (S, C_out, R+2)
    shared = weights.shared.transpose(1, 2).flatten(1)  # (S, V*U)
    offset_weight = (refine_weight * feature_bias.unsqueeze(-1)).transpose(0, 1).flatten(1)
    return FoldedWeights(weights.relation_weight, weights.relation_bias.unsqueeze(1), feature_weight.to(dtype),
                         refine_weight.to(dtype), torch.stack([shared, torch.ones_like(shared)], dim=1).to(dtype),
                         offset_weight.to(dtype), shift.to(dtype).unsqueeze(1))


def evaluate(x: Tensor, weights: FoldedWeights, residual: Tensor) -> Tensor:
    """Return relu(batch norm(aggregation of x) + residual), evaluation mode, on a CPU: (B, C_out, U, T).

    A feature's bias b is added to all sources alike: it adds b * (sum over s, v of Q) to all frames of an output.
    """
    b, _, v, t = x.shape
    s, channels, columns = weights.refine_weight.shape
    operand = scratch("operand", b, s, columns, v * v, like=x)
    with without_autocast(x):
        mean = x.mean(dim=3, dtype=weights.relation_weight.dtype)  # (B, C_in, V)
        projected = torch.baddbmm(weights.relation_bias, weights.relation_weight.expand(b, -1, -1), mean)
        p, q = projected.view(b, 2, s, columns - 2, v).unbind(dim=1)  # (B, S, R, V)
        operand[:, :, :-2] = (p.unsqueeze(-2) - q.unsqueeze(-1)).tanh_().flatten(3)
        operand[:, :, -2:] = weights.constants
        sums = operand.view(b, s * columns, v, v).sum(dim=2)  # (B, S*(R+2), U)
        offsets = torch.baddbmm(weights.shift, weights.offset_weight.expand(b, -1, -1), sums)  # (B, C_out, U)
        out = residual + offsets.unsqueeze(-1)
        topologies = scratch("topologies", channels, s, v * v, like=x)
        features = scratch("features", channels * s, v * t, like=x)
        for body in range(b):
            torch.bmm(weights.refine_weight, operand[body], out=topologies.transpose(0, 1))
            torch.mm(weights.feature_weight, x[body].flatten(1), out=features)
            out[body].baddbmm_(topologies.view(channels, s * v, v).transpose(1, 2), features.view(channels, s * v, t))
    return out.relu_()
