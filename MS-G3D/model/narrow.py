"""The first stage's graph convolutions: few input channels, many output channels, and no wide row ever kept or reread.
As equations this is `ScaleAggregation` in `model/reference.py`.

The rows in front of the batch norm are y = S W^T + b, with a support S (R, Q) of Q = K*C_in channels that is narrow
beside y. So their moments follow from those of S, and so do the gradients through the moments. With mean s and
covariance C of S, var = diag(W C W^T), r = (var + eps)^-1/2, the norm's weight g and bias h, D the gradient in front of
the ReLU, and n rows:

    norm(y) = (S - s) (g r W)^T + h            M = D^T (S - s)        dh = sum of D
    dg = r diag(M W^T)                         dW = g r (M - (dg r) W C)
    dS = (D - dh / n) (g r W) - (S - s) W^T (g r^2 dg / n) W
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.contraction import NarrowFirst, accumulator, add_product
from model.operators import ConvOptions, RowMap, contract, relu_backward_into
from skeleton_lab.nn.precision import without_autocast, working_dtype
from skeleton_lab.nn.synchrony import averaged


class NarrowGraphConvNormRelu(torch.autograd.Function):
    """As `operators.WindowGraphConvNormRelu`, where the best order is `NarrowFirst`; keeps its inputs only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stack: Tensor, weight: Tensor, bias: Tensor, norm_weight: Tensor,
                norm_bias: Tensor, map_weight: Tensor | None, map_bias: Tensor | None,
                options: ConvOptions) -> tuple[Tensor, Tensor, Tensor]:
        ctx.options, ctx.dtype = options, working_dtype(x)
        with without_autocast(x):
            contraction = contract(ctx.dtype, x, stack, weight, bias, options.windows)
            support = contraction.support
            mean, covariance = _moments(contraction)
            norm = FoldedNorm(weight, norm_weight, mean, covariance, options.eps)
            folded, shift = norm.weight.to(support.dtype), norm_bias.to(support.dtype)
            support -= mean.to(support.dtype)
            row_map = RowMap(map_weight, map_bias, support)
            out = row_map.new_output(len(support), len(weight))
            for piece in contraction.row_pieces():
                row_map.put(out, piece, torch.addmm(shift, support[piece], folded.t()).relu_())
            y_mean = (norm.wide_weight @ mean).to(bias.dtype) + bias
        ctx.save_for_backward(x, stack, weight, bias, norm_weight, norm_bias, map_weight, mean, covariance)
        y_var = norm.variance.to(bias.dtype)
        ctx.mark_non_differentiable(y_mean, y_var)
        return out, y_mean, y_var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, stack, weight, bias, norm_weight, norm_bias, map_weight, mean, covariance = ctx.saved_tensors
        with without_autocast(x):
            contraction = contract(ctx.dtype, x, stack, weight, bias, ctx.options.windows)
            support = contraction.support
            support -= mean.to(support.dtype)
            norm = FoldedNorm(weight, norm_weight, mean, covariance, ctx.options.eps)
            folded, shift = norm.weight.to(support.dtype), norm_bias.to(support.dtype)
            row_map = RowMap(map_weight, None, support)
            grad = grad.to(ctx.dtype).contiguous()
            products, grad_norm_bias = accumulator(weight), accumulator(norm_bias)
            grad_support = torch.empty_like(support)
            for piece in contraction.row_pieces():
                activated = torch.addmm(shift, support[piece], folded.t()).relu_()
                grad_rows = torch.empty_like(activated)
                relu_backward_into(grad_rows, row_map.backward(grad, piece, activated), activated)
                add_product(products, grad_rows.t(), support[piece])
                grad_norm_bias += grad_rows.sum(dim=0, dtype=grad_norm_bias.dtype)
                torch.mm(grad_rows, folded, out=grad_support[piece])
            grad_weight, grad_norm_weight, back = norm.gradients(products.double(), len(support))
            [mean_norm_bias] = averaged(grad_norm_bias)
            grad_support -= (mean_norm_bias.double() @ norm.weight / len(support)).to(support.dtype)
            grad_support.addmm_(support, back.to(support.dtype), alpha=-1)
            grad_frames, grad_stack = contraction.support_gradients(grad_support)
            grad_x = ctx.options.windows.gather(grad_frames, x.shape[2]) if ctx.needs_input_grad[0] else None
        grad_map = (None, None) if map_weight is None else (row_map.grad_weight, grad.sum(dim=0))
        return (grad_x, grad_stack, grad_weight.to(weight.dtype), torch.zeros_like(bias),
                grad_norm_weight.to(norm_weight.dtype), grad_norm_bias, *grad_map, None)


class FoldedNorm:
    """The norm folded into the weight, and the small matrices of its gradients: all float64, for the covariance."""

    def __init__(self, weight: Tensor, norm_weight: Tensor, mean: Tensor, covariance: Tensor, eps: float) -> None:
        self.wide_weight, self.covariance = weight.double(), covariance
        self.variance = ((self.wide_weight @ covariance) * self.wide_weight).sum(dim=1)  # (C)
        self.inverse = (self.variance + eps).rsqrt()
        self.scale = norm_weight.double() * self.inverse
        self.weight = self.scale.unsqueeze(1) * self.wide_weight  # (C, Q)

    def gradients(self, products: Tensor, num_rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of weight (C, Q) and norm weight (C), given M; and W^T (g r^2 dg / n) W (Q, Q)."""
        grad_norm_weight = self.inverse * (products * self.wide_weight).sum(dim=1)
        through_variance = (grad_norm_weight * self.inverse).unsqueeze(1) * (self.wide_weight @ self.covariance)
        [mean_norm_weight] = averaged(grad_norm_weight)  # the rows' moments are those of all processes
        pull = (mean_norm_weight * self.inverse / num_rows).unsqueeze(1)
        grad_weight = self.scale.unsqueeze(1) * (products - through_variance)
        return grad_weight, grad_norm_weight, self.weight.t() @ (pull * self.wide_weight)


def _moments(contraction: NarrowFirst) -> tuple[Tensor, Tensor]:
    """Return mean (Q) and covariance (Q, Q) of the support of all processes, summed in float64."""
    channels = contraction.support.shape[1]
    total = contraction.support.new_zeros(channels, dtype=torch.float64)
    products = total.new_zeros(channels, channels)
    for piece in contraction.row_pieces():
        rows = contraction.support[piece].double()
        total += rows.sum(dim=0)
        products.addmm_(rows.t(), rows)
    count = contraction.num_rows
    [total], [products] = averaged(total), averaged(products)
    mean = total / count
    return mean, products / count - torch.outer(mean, mean)
