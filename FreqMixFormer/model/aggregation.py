"""The joints of each channel mixed by its own graphs, and the gated batch norm behind it, as operators.
As equations both are in `SpatialUnit` in `model/reference.py`.

Axes: B bodies, C channels out, K subsets, J quarters of the channels, V source joint, W target joint, T frames.
Activations are (B, C, V, T): frames innermost, so that a channel's subsets are mixed by one small matrix product.

The input of that product, K times as wide as the output, is a linear function of x and never kept, and neither are the
graphs of single channels: both are made for a body at a time, and again in the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.reference import CLASSES, QUARTERS, SUBSETS
from skeleton_lab.nn.chunking import all_at_once
from skeleton_lab.nn.norm import Moments, RowMoments, merge_moments, relu_backward, row_moments
from skeleton_lab.nn.pointwise import add_pointwise_weight_grad, pointwise
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.synchrony import averaged

BODIES_ON_A_GPU = 32  # at a time, for the sake of its memory


def bodies_in_turn(x: Tensor) -> list[slice]:
    """Return slices of the batch axis of x (B, ...) to work on in turn: on a CPU one body, which stays in the cache."""
    step = BODIES_ON_A_GPU if all_at_once(x) else 1
    return [slice(start, start + step) for start in range(0, len(x), step)]


class GraphProduct(torch.autograd.Function):
    """y[b,c,w,t] = sum over k, v of (weight[k,c] x + bias[k,c])[b,v,t] G[b,k,c][v,w]; keeps its arguments only.

    G[b,k,c] is by_quarter of the quarter of c, plus by_class of c modulo 8.

    apply(x (B, C_in, V, T), by_quarter (B, J, W, K*V), by_class (8, W, K*V), weight (K*C, C_in, 1, 1), bias (K*C)) ->
    (y (B, C, W, T), its means (B, C), squared deviations from them, summed (B, C)); the last has no gradient. Graphs
    and weight may be more precise than x; sums that become gradients are at least float32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, by_quarter: Tensor, by_class: Tensor, weight: Tensor,
                bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(x, by_quarter, by_class, weight, bias)
        rows = []
        with without_autocast(x):
            layer = _by_channel(weight, x), _by_channel(bias, x)
            out = x.new_empty(len(x), len(bias) // SUBSETS, *x.shape[2:])
            room = _Room(by_class)
            for some in bodies_in_turn(x):
                own = out[some]
                torch.bmm(room.graphs(by_quarter[some], by_class, own), room.mixed(x[some], *layer),
                          out=own.flatten(0, 1))
                if any(ctx.needs_input_grad):
                    rows.append(row_moments(own))
            if not rows:
                return out, out.mean(dim=(2, 3), dtype=torch.promote_types(x.dtype, torch.float32)), x.new_empty(0)
            means, deviations = (torch.cat(parts) for parts in zip(*rows, strict=True))
        ctx.mark_non_differentiable(deviations)
        return out, means, deviations

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_means: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, by_quarter, by_class, weight, bias = ctx.saved_tensors
        exact = torch.promote_types(x.dtype, torch.float32)
        grad_means = (grad_means / grad[0, 0].numel()).to(grad.dtype)[:, :, None, None]
        grad_x, grad_quarter = torch.empty_like(x), torch.empty_like(by_quarter)
        with without_autocast(x):
            layer = _by_channel(weight, x), _by_channel(bias, x)
            grad_class = torch.zeros_like(by_class, dtype=exact)
            grad_weight, grad_bias = (torch.zeros_like(tensor, dtype=exact) for tensor in layer)
            room = _Room(by_class)
            for some in bodies_in_turn(x):
                own = grad[some] + grad_means[some]
                mixed, graphs = room.mixed(x[some], *layer), room.graphs(by_quarter[some], by_class, own)
                rows = own.flatten(0, 1)  # (n*C, W, T)
                grad_graphs = torch.bmm(rows, mixed.transpose(1, 2)).view(len(own), -1, *by_class.shape[1:])
                grad_quarter[some] = grad_graphs.unflatten(1, (QUARTERS, -1)).sum(dim=2)
                grad_class += grad_graphs.unflatten(1, (-1, CLASSES)).sum(dim=(0, 1), dtype=exact)
                grad_mixed = torch.bmm(graphs.transpose(1, 2), rows).view(len(own), len(bias), -1)  # (n, C*K, V*T)
                grad_bias += grad_mixed.sum(dim=(0, 2), dtype=exact)
                add_pointwise_weight_grad(grad_weight, grad_mixed, x[some].flatten(2))
                grad_x[some] = pointwise(layer[0].t(), grad_mixed).view_as(grad_x[some])
        return (grad_x, grad_quarter, grad_class.to(by_class.dtype),
                _by_subset(grad_weight).view_as(weight).to(weight.dtype), _by_subset(grad_bias).to(bias.dtype))


def _by_channel(rows: Tensor, x: Tensor) -> Tensor:
    """(K*C, C_in, 1, 1) or (K*C) -> (C*K, C_in) or (C*K), in the dtype of x: a channel's subsets side by side."""
    rows = rows.view(rows.shape[:2]).to(x.dtype)
    return rows.unflatten(0, (SUBSETS, -1)).transpose(0, 1).flatten(0, 1)


def _by_subset(rows: Tensor) -> Tensor:
    """(C*K, ...) -> (K*C, ...)."""
    return rows.unflatten(0, (-1, SUBSETS)).transpose(0, 1).flatten(0, 1)


class _Room:
    """Memory for what is made of some bodies, and then of the next: fresh memory would cost as much as the writing."""

    def __init__(self, by_class: Tensor) -> None:
        self._graph = by_class.shape[1:]  # (W, K*V)
        self._tensors: dict[str, Tensor] = {}

    def _tensor(self, name: str, like: Tensor, *shape: int) -> Tensor:
        found = self._tensors.get(name)
        if found is None or len(found) < shape[0]:
            found = self._tensors[name] = like.new_empty(shape)
        return found[:shape[0]]

    def mixed(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return weight x + bias of x (n, C_in, V, T), (n*C, K*V, T)."""
        out = self._tensor("mixed", x, len(x), len(weight), x[0, 0].numel())
        torch.baddbmm(bias[:, None].expand_as(out), weight.expand(len(x), -1, -1), x.flatten(2), out=out)
        return out.view(-1, SUBSETS * x.shape[2], x.shape[3])

    def graphs(self, by_quarter: Tensor, by_class: Tensor, out: Tensor) -> Tensor:
        """Return the graphs of each channel of `out` (n, C, W, T), (n*C, W, K*V)."""
        graphs = self._tensor("graphs", out, *out.shape[:2], *self._graph)
        graphs.unflatten(1, (QUARTERS, -1)).copy_(by_quarter.unsqueeze(2))
        graphs.unflatten(1, (-1, CLASSES)).add_(by_class.to(graphs.dtype))
        return graphs.flatten(0, 1)


def scaled(y: Tensor, scale: Tensor, shift: Tensor, residual: Tensor, out: Tensor) -> None:
    """Write relu(scale * y + shift + residual) into `out`; scale (n, C), shift (C), the others (n, C, V, T)."""
    torch.addcmul(residual, y, scale[:, :, None, None].to(y.dtype), out=out)
    out.add_(shift[:, None, None].to(y.dtype)).relu_()


class GatedNormActivation(torch.autograd.Function):
    """relu(batch norm(gate * y) + residual), training mode: keeps y and the output, which the next layer keeps too.

    A gate for each body and channel only scales the moments of its row, so that gate and norm are one affine map.

    apply(y (B, C, V, T), gate (B, C), weight (C), bias (C), rows' means and summed squared deviations (B, C) of y,
    residual like y, eps) -> (output like y, mean, var), the moments (C) of gate * y.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, gate: Tensor, weight: Tensor, bias: Tensor, means: Tensor, deviations: Tensor,
                residual: Tensor, eps: float) -> tuple[Tensor, ...]:
        moments = merge_moments([RowMoments(gate * means, gate.square() * deviations)], y[0, 0].numel())
        scale = weight * (moments.var + eps).rsqrt()
        out = torch.empty_like(y)
        for some in bodies_in_turn(y):
            scaled(y[some], gate[some] * scale, bias - moments.mean * scale, residual[some], out[some])
        ctx.save_for_backward(y, out, gate, weight, means, deviations, *moments)
        ctx.eps = eps
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        y, out, gate, weight, means, deviations, *moments = ctx.saved_tensors
        mean, inverse, size = moments[0], (Moments(*moments).var + ctx.eps).rsqrt(), y[0, 0].numel()
        grad = relu_backward(grad_out, out)
        sums = grad.sum(dim=(2, 3), dtype=means.dtype)  # (B, C)
        products = torch.cat([(grad[some] * y[some]).sum(dim=(2, 3), dtype=means.dtype) for some in bodies_in_turn(y)])
        grad_bias, grad_weight = sums.sum(dim=0), (inverse * (gate * products - mean * sums)).sum(dim=0)
        of_bias, of_weight = (total / (len(y) * size) for total in averaged(grad_bias, grad_weight))
        # In front of the norm the gradient is slope * grad + along * y + level.
        slope = weight * inverse
        along, level = -slope * of_weight * inverse * gate, slope * (inverse * mean * of_weight - of_bias)
        grad_gate = (slope * (products - means * sums) + along * deviations
                     + means * (slope * sums + size * (along * means + level)))
        grad_y = torch.empty_like(y)
        for some in bodies_in_turn(y):
            by_grad, by_y, by_one = ((gate[some] * factor)[:, :, None, None].to(y.dtype)
                                     for factor in (slope, along[some], level))
            torch.mul(grad[some], by_grad, out=grad_y[some]).addcmul_(y[some], by_y).add_(by_one)
        return grad_y, grad_gate, grad_weight, grad_bias, None, None, grad, None
