"""MS-G3D's operators with their gradients written out: what they keep for the backward pass is what they are given.

Activations are rows (R, C), channels last; R runs over windows, joints and the joint's frames as in `contraction.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.contraction import cheaper_order
from model.windows import Windows
from skeleton_lab.norm import Moments, normalize, normalize_backward, relu_backward
from skeleton_lab.precision import without_autocast, working_dtype


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
            return _contraction(ctx.dtype, x, stack, weight, bias, windows).output()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, stack, weight, bias = ctx.saved_tensors
        windows = ctx.windows
        with without_autocast(x):
            contraction = _contraction(ctx.dtype, x, stack, weight, bias, windows)
            grads = contraction.gradients(grad.to(ctx.dtype).contiguous())
            grad_x = windows.gather(grads.frames, x.shape[2]) if ctx.needs_input_grad[0] else None
        return grad_x, grads.stack, grads.weight, grads.bias, None


def _contraction(dtype: torch.dtype, x: Tensor, stack: Tensor, weight: Tensor, bias: Tensor, windows: Windows) -> Any:
    c_out, c_in, v = len(weight), x.shape[1], x.shape[3]
    order = cheaper_order(windows, v, weight.shape[1] // c_in, c_in, c_out)
    frames = windows.lay_out(x.to(dtype))
    return order(windows, frames, stack.to(dtype), weight.to(dtype), bias.to(dtype))


class Norm(torch.autograd.Function):
    """Batch norm of rows, training mode; keeps its input.

    apply(x (R, C), weight (C), bias (C), eps) -> (output (R, C), mean (C), var (C)).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        out, moments = _normalize_batch(x, weight, bias, eps)
        ctx.save_for_backward(x, weight, *moments)
        ctx.mark_non_differentiable(*moments)
        ctx.eps = eps
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, *moments = ctx.saved_tensors
        return *_norm_backward(grad, x, weight, Moments(*moments), ctx.eps), None


@dataclass(frozen=True)
class ConvOptions:
    """windows: what the graph convolution slides over. eps: the BatchNorm's. keep: the wide rows in front of it."""

    windows: Windows
    eps: float
    keep: bool


class WindowGraphConvNormRelu(torch.autograd.Function):
    """relu(batch norm(graph convolution)), training mode, and a linear map of w rows at a time if one is given.

    Keeps its inputs, and the rows in front of the batch norm or, without `keep`, nothing else.

    apply(x (B, C_in, T, V), stack (K*w*V, w*V), weight (C, K*C_in), bias (C), norm weight (C), norm bias (C),
    map weight (C_out, w*C) or None, map bias (C_out) or None, options)
        -> (rows (T'*B*V*w, C) or mapped (T'*B*V, C_out), mean (C), var (C)).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, stack: Tensor, weight: Tensor, bias: Tensor, norm_weight: Tensor,
                norm_bias: Tensor, map_weight: Tensor | None, map_bias: Tensor | None,
                options: ConvOptions) -> tuple[Tensor, Tensor, Tensor]:
        ctx.options, ctx.dtype = options, working_dtype(x)
        with without_autocast(x):
            rows = _contraction(ctx.dtype, x, stack, weight, bias, options.windows).output()
            out, moments = _normalize_batch(rows, norm_weight, norm_bias, options.eps)
            out.relu_()
            if map_weight is not None:
                groups = out.view(-1, map_weight.shape[1])  # (T'*B*V, w*C)
                out = torch.addmm(map_bias.to(ctx.dtype), groups, map_weight.to(ctx.dtype).t())
        ctx.save_for_backward(x, stack, weight, bias, norm_weight, norm_bias, map_weight,
                              rows if options.keep else None, *moments)
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, stack, weight, bias, norm_weight, norm_bias, map_weight, rows, *moments = ctx.saved_tensors
        options, moments = ctx.options, Moments(*moments)
        grad_map: tuple[Tensor | None, Tensor | None] = (None, None)
        with without_autocast(x):
            grad = grad.to(ctx.dtype).contiguous()
            contraction = _contraction(ctx.dtype, x, stack, weight, bias, options.windows)
            if rows is None:
                rows = contraction.output()
            activated = _as_rows(normalize(_as_image(rows), norm_weight, norm_bias, moments, options.eps))
            if map_weight is not None:
                groups = activated.relu_().view(len(grad), -1)  # (T'*B*V, w*C)
                grad_map = torch.mm(grad.t(), groups), grad.sum(dim=0)
                grad = torch.mm(grad, map_weight.to(ctx.dtype)).view_as(rows)
            grad = relu_backward(grad, activated)
            del activated
            grad, *grad_norm = _norm_backward(grad, rows, norm_weight, moments, options.eps)
            del rows
            grads = contraction.gradients(grad)
            grad_x = options.windows.gather(grads.frames, x.shape[2]) if ctx.needs_input_grad[0] else None
        return grad_x, grads.stack, grads.weight, grads.bias, *grad_norm, *grad_map, None


def _as_image(rows: Tensor) -> Tensor:
    """View rows (R, C) as an image (1, C, R, 1), channels last, for which the framework's batch norm is fast."""
    return rows.unsqueeze(0).unsqueeze(0).permute(0, 3, 2, 1)


def _as_rows(image: Tensor) -> Tensor:
    """(1, C, R, 1), channels last -> (R, C)."""
    return image.permute(0, 3, 2, 1).view(image.shape[2], image.shape[1])


def _normalize_batch(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Moments]:
    """Return (x - mean) / sqrt(var + eps) * weight + bias with the moments of x (R, C), and these."""
    out, mean, inverse = torch.native_batch_norm(_as_image(x), weight, bias, None, None, True, 0.0, eps)
    return _as_rows(out), Moments(mean, inverse.pow(-2) - eps)


def _norm_backward(grad: Tensor, x: Tensor, weight: Tensor, moments: Moments,
                   eps: float) -> tuple[Tensor, Tensor, Tensor]:
    grad_x, grad_weight, grad_bias = normalize_backward(_as_image(grad.contiguous()), _as_image(x), weight, moments,
                                                        eps)
    return _as_rows(grad_x), grad_weight, grad_bias
