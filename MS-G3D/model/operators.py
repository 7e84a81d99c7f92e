"""MS-G3D's operators with their gradients written out: what they keep for the backward pass is what they are given.
As equations they are `ScaleAggregation` and `Pathway` in `model/reference.py`.

Activations are rows (R, C), channels last; R runs over windows, joints and the joint's frames as in `contraction.py`.
Wide rows are worked on piece by piece, so that on the CPU a piece stays in the cache from one product to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.contraction import Contraction, accumulator, add_product, best_order
from model.row_norm import PiecedMoments, RowNorm, as_image, as_rows
from model.windows import Windows
from skeleton_lab.nn.norm import Moments, normalize, normalize_backward
from skeleton_lab.nn.precision import without_autocast, working_dtype
from skeleton_lab.nn.synchrony import num_processes, of_all_processes


@dataclass(frozen=True)
class ConvOptions:
    """windows: what the graph convolution slides over. eps: the BatchNorm's."""

    windows: Windows
    eps: float


def contract(dtype: torch.dtype, x: Tensor, stack: Tensor, weight: Tensor, bias: Tensor,
             windows: Windows) -> Contraction:
    """Return the contraction of x (B, C_in, T, V) in the best order, with everything in `dtype`."""
    order = best_order(windows, x.shape[3], weight, x.shape[1])
    return order(windows, windows.lay_out(x.to(dtype)), stack.to(dtype), weight.to(dtype), bias.to(dtype))


class RowMap:
    """A linear map of G neighbouring rows (R, C) to one of C_out channels, or no map at all.

    Args:
        weight: (C_out, G*C), or None for the rows themselves. bias: (C_out).
        like: a tensor whose dtype and device the rows have.
    """

    def __init__(self, weight: Tensor | None, bias: Tensor | None, like: Tensor) -> None:
        self.weight = None if weight is None else weight.to(like.dtype)
        self.bias = None if bias is None else bias.to(like.dtype)
        self.grad_weight = None if weight is None else accumulator(weight)
        self.like = like

    def new_output(self, num_rows: int, channels: int) -> Tensor:
        """Return room for the map of `num_rows` rows of `channels`."""
        if self.weight is None:
            return self.like.new_empty(num_rows, channels)
        c_out, grouped = self.weight.shape
        return self.like.new_empty(num_rows * channels // grouped, c_out)

    def put(self, out: Tensor, piece: slice, rows: Tensor) -> None:
        """Write the map of `rows`, which are the slice `piece` of all rows, into `out`."""
        if self.weight is None:
            out[piece] = rows
        else:
            groups = rows.view(-1, self.weight.shape[1])
            torch.addmm(self.bias, groups, self.weight.t(), out=out[self._groups(piece, rows)])

    def backward(self, grad: Tensor, piece: slice, rows: Tensor) -> Tensor:
        """Return the gradient of `rows`, given that of the whole output; add to `grad_weight`."""
        if self.weight is None:
            return grad[piece]
        own = grad[self._groups(piece, rows)]
        add_product(self.grad_weight, own.t(), rows.view(len(own), -1))
        return torch.mm(own, self.weight).view_as(rows)

    def _groups(self, piece: slice, rows: Tensor) -> slice:
        size = self.weight.shape[1] // rows.shape[1]
        return slice(piece.start // size, piece.stop // size)


class WindowGraphConv(torch.autograd.Function):
    """The multi-scale graph convolution over sliding windows; keeps its inputs.

    apply(x (B, C_in, T, V), stack (K*w*V, w*V), weight (C_out, K*C_in), bias (C_out), windows)
        -> y (T'*B*V*w, C_out), in autocast's dtype where that is on.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, stack: Tensor, weight: Tensor, bias: Tensor, windows: Windows) -> Tensor:
        ctx.save_for_backward(x, stack, weight, bias)
        ctx.windows, ctx.dtype = windows, working_dtype(x)
        with without_autocast(x):
            contraction = contract(ctx.dtype, x, stack, weight, bias, windows)
            y = x.new_empty(contraction.num_rows, len(weight), dtype=ctx.dtype)
            for _ in contraction.pieces(out=y):
                pass
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, stack, weight, bias = ctx.saved_tensors
        with without_autocast(x):
            grad = grad.to(ctx.dtype).contiguous()
            grads = contract(ctx.dtype, x, stack, weight, bias, ctx.windows).gradients(lambda rows: grad[rows])
            grad_x = ctx.windows.gather(grads.frames, x.shape[2]) if ctx.needs_input_grad[0] else None
        return grad_x, grads.stack, grads.weight, grad.sum(dim=0), None


def evaluate_relu_map(x: Tensor, stack: Tensor, weight: Tensor, bias: Tensor, map_weight: Tensor | None,
                      map_bias: Tensor | None, windows: Windows) -> Tensor:
    """Return the map of relu(graph convolution), without gradients; arguments as `WindowGraphConvNormRelu`."""
    with without_autocast(x):
        contraction = contract(working_dtype(x), x, stack, weight, bias, windows)
        row_map = RowMap(map_weight, map_bias, x.new_empty(0, dtype=working_dtype(x)))
        out = row_map.new_output(contraction.num_rows, len(weight))
        for piece, rows in contraction.pieces():
            row_map.put(out, piece, rows.relu_())
    return out


class WindowGraphConvNormRelu(torch.autograd.Function):
    """relu(batch norm(graph convolution)), training mode, and a linear map of w rows at a time if one is given.

    Keeps its inputs and the rows in front of the batch norm. The gradient of `bias` is zero, since the norm takes it
    out again.

    apply(x (B, C_in, T, V), stack (K*w*V, w*V), weight (C, K*C_in), bias (C), norm weight (C), norm bias (C),
    map weight (C_out, w*C) or None, map bias (C_out) or None, options)
        -> (rows (T'*B*V*w, C) or mapped (T'*B*V, C_out), mean (C), var (C)).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, stack: Tensor, weight: Tensor, bias: Tensor, norm_weight: Tensor,
                norm_bias: Tensor, map_weight: Tensor | None, map_bias: Tensor | None,
                options: ConvOptions) -> tuple[Tensor, Tensor, Tensor]:
        ctx.options, ctx.dtype, ctx.pieces = options, working_dtype(x), []
        with without_autocast(x):
            contraction = contract(ctx.dtype, x, stack, weight, bias, options.windows)
            y = x.new_empty(contraction.num_rows, len(weight), dtype=ctx.dtype)
            row_moments = PiecedMoments()
            for piece, rows in contraction.pieces(out=y):
                row_moments.add(rows)
                ctx.pieces.append(piece)
            del contraction
            moments = row_moments.total()
            norm, row_map = RowNorm(norm_weight, norm_bias, moments, options.eps), RowMap(map_weight, map_bias, y)
            out = row_map.new_output(*y.shape)
            for piece in ctx.pieces:
                row_map.put(out, piece, norm.relu(y[piece]))
        ctx.save_for_backward(x, stack, weight, bias, norm_weight, norm_bias, map_weight, y, *moments)
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, stack, weight, bias, norm_weight, norm_bias, map_weight, y, *moments = ctx.saved_tensors
        with without_autocast(x):
            norm = RowNorm(norm_weight, norm_bias, Moments(*moments), ctx.options.eps)
            row_map = RowMap(map_weight, None, y)
            grad = grad.to(ctx.dtype).contiguous()
            grad_y = torch.empty_like(y)  # in front of the ReLU at first
            for piece in ctx.pieces:
                activated = norm.relu(y[piece])
                relu_backward_into(grad_y[piece], row_map.backward(grad, piece, activated), activated)
                norm.collect(grad_y[piece], y[piece])
            contraction = contract(ctx.dtype, x, stack, weight, bias, ctx.options.windows)
            grads = contraction.gradients(lambda rows: norm.backward(grad_y[rows], y[rows], len(y)))
            grad_x = ctx.options.windows.gather(grads.frames, x.shape[2]) if ctx.needs_input_grad[0] else None
        grad_map = (None, None) if map_weight is None else (row_map.grad_weight, grad.sum(dim=0))
        return (grad_x, grads.stack, grads.weight, torch.zeros_like(bias), norm.grad_weight, norm.grad_bias, *grad_map,
                None)


class Norm(torch.autograd.Function):
    """Batch norm of rows, training mode; keeps its input.

    apply(x (R, C), weight (C), bias (C), eps) -> (output (R, C), mean (C), var (C)).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        out, mean, inverse = torch.native_batch_norm(as_image(x), weight, bias, None, None, True, 0.0, eps)
        moments = Moments(*of_all_processes(mean, inverse.pow(-2) - eps))
        if num_processes() > 1:
            out = normalize(as_image(x), weight, bias, moments, eps)
        ctx.save_for_backward(x, weight, *moments)
        ctx.mark_non_differentiable(*moments)
        ctx.eps = eps
        return as_rows(out), *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, *moments = ctx.saved_tensors
        grad_x, grad_weight, grad_bias = normalize_backward(as_image(grad.contiguous()), as_image(x), weight,
                                                            Moments(*moments), ctx.eps)
        return as_rows(grad_x), grad_weight, grad_bias, None


def relu_backward_into(out: Tensor, grad: Tensor, activated: Tensor) -> None:
    """Write the gradient in front of a ReLU whose output is `activated` into `out`, which may be `grad`."""
    torch.ops.aten.threshold_backward.grad_input(grad, activated, 0, grad_input=out)
