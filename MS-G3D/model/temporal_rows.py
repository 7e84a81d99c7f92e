"""The multi-scale temporal convolution on rows, channels last and time first, where a shift in time is a range of rows.
As equations it is `TemporalUnit` in `model/reference.py`.

Side by side the branches are one 1x1 convolution, a batch norm and a ReLU of all but the last, temporal convolutions
and a pool of these, and a batch norm of everything. Between the two 1x1 products each branch is worked on by itself,
from end to end, so that on the CPU it stays in the cache. The biases of convolutions are left out: the batch norms in
training mode take them out again.

Rows are (T*P, C) with P = B*V bodies' joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.operators import relu_backward_into
from model.row_norm import PiecedMoments, RowNorm, row_pieces
from skeleton_lab.nn.chunking import all_at_once
from skeleton_lab.nn.norm import Moments, relu_backward
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.reference import POOL_FRAMES
from skeleton_lab.nn.temporal import first_maximum


@dataclass(frozen=True)
class TemporalShape:
    """T frames of P joints in, every `stride`-th out; b, the channels of a branch."""

    frames: int
    joints: int
    stride: int
    width: int

    @property
    def frames_out(self) -> int:
        """T', rounded up."""
        return -(-self.frames // self.stride)

    def shifted(self, offset: int) -> tuple[slice, slice]:
        """Return (frames out, frames in): those that a tap `offset` frames away connects; none in a short clip."""
        first = max(0, -(offset // self.stride))
        last = min(self.frames_out - 1, (self.frames - 1 - offset) // self.stride)
        count, start = max(0, last - first + 1), first * self.stride + offset
        return slice(first, first + count), slice(start, start + count * self.stride, self.stride)

    def of(self, rows: Tensor) -> Tensor:
        """View rows (T*P, C), or (T'*P, C), by frames: (T, P, C)."""
        return rows.view(-1, self.joints, rows.shape[1])

    def columns(self, rows: Tensor, branches: range) -> Tensor:
        """View the channels of some neighbouring branches."""
        return rows[:, branches.start * self.width:branches.stop * self.width]

    def every_stride(self, rows: Tensor) -> Tensor:
        """Return the rows (T'*P, C) of every `stride`-th frame: rows itself for a stride of one."""
        return rows if self.stride == 1 else self.of(rows)[::self.stride].flatten(0, 1)


@dataclass(frozen=True)
class BranchOptions:
    """dilations: of the temporal convolutions. identity: add the input. activation: end with a ReLU. eps: norms'."""

    shape: TemporalShape
    dilations: tuple[int, ...]
    identity: bool
    activation: bool
    eps: float


class TemporalRows(torch.autograd.Function):
    """All branches, the residual and the final ReLU, training mode.

    Keeps its inputs, the first convolution's output, the second norm's input and the output.

    apply(x (T*P, C_in), residual (T'*P, C_out) or None, options, biases left out, weight1 (C_out, C_in), norm1 weight
    and bias (C_out - b), norm2 weight and bias (C_out), *kernels (b, b, k, 1))
        -> (output (T'*P, C_out), mean1, var1 (C_out - b), mean2, var2 (C_out)).

    The biases are inputs so that they have a gradient, zero, like any parameter.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, options: BranchOptions, left_out: Tensor,
                weight1: Tensor, norm1_weight: Tensor, norm1_bias: Tensor, norm2_weight: Tensor, norm2_bias: Tensor,
                *kernels: Tensor) -> tuple[Tensor, ...]:
        shape = options.shape
        head, plain = weight1.split(len(norm1_weight))  # the last branch has neither ReLU nor a second layer
        with without_autocast(x):
            hidden, moments1 = _product_and_moments(x, head)
            norm1 = RowNorm(norm1_weight, norm1_bias, moments1, options.eps)
            merged = x.new_empty(shape.frames_out * shape.joints, len(weight1))
            slots = merged.split(shape.width, dim=1)
            for rows, norm, members in _groups(hidden, norm1, shape):
                for i, active in zip(members, norm.relu(rows).split(shape.width, dim=1), strict=True):
                    if i < len(kernels):
                        _convolution(active, kernels[i], options.dilations[i], shape, out=slots[i])
                    else:
                        slots[i].copy_(_max_pool(active, shape))
            torch.mm(shape.every_stride(x), plain.t(), out=slots[-1])
            row_moments = PiecedMoments()
            for piece in row_pieces(merged):
                row_moments.add(merged[piece])
            moments2 = row_moments.total()
            norm2 = RowNorm(norm2_weight, norm2_bias, moments2, options.eps)
            out = torch.empty_like(merged)
            added = x if options.identity else residual
            for piece in row_pieces(merged):
                rows = norm2.apply(merged[piece], out=out[piece])
                if added is not None:
                    rows += added[piece]
                if options.activation:
                    rows.relu_()
        ctx.options, ctx.has_residual, ctx.left_out = options, residual is not None, torch.zeros_like(left_out)
        ctx.save_for_backward(x, hidden, merged, out if options.activation else None, weight1, norm1_weight, norm1_bias,
                              norm2_weight, norm2_bias, *moments1, *moments2, *kernels)
        ctx.mark_non_differentiable(*moments1, *moments2)
        return out, *moments1, *moments2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, hidden, merged, out, weight1, *rest = ctx.saved_tensors
        norm1_weight, norm1_bias, norm2_weight, norm2_bias, mean1, var1, mean2, var2, *kernels = rest
        options, shape = ctx.options, ctx.options.shape
        with without_autocast(x):
            grad = grad.to(x.dtype).contiguous()
            grad = relu_backward(grad, out) if options.activation else grad.clone()
            norm1 = RowNorm(norm1_weight, norm1_bias, Moments(mean1, var1), options.eps)
            norm2 = RowNorm(norm2_weight, norm2_bias, Moments(mean2, var2), options.eps)
            grads = [part for rows, norm, members in _groups(merged, norm2, shape)
                     for part in _through_norm(norm, shape.columns(grad, members), rows).split(shape.width, dim=1)]
            grad_hidden, grad_kernels = _hidden_gradient(grads, hidden, norm1, kernels, options)
            head, plain = weight1.split(len(norm1_weight))
            grad_weight1 = torch.cat([torch.mm(grad_hidden.t(), x), torch.mm(grads[-1].t(), shape.every_stride(x))])
            grad_x = grad.addmm_(grad_hidden, head) if options.identity else torch.mm(grad_hidden, head)
            if shape.stride == 1:
                grad_x.addmm_(grads[-1], plain)
            else:
                shape.of(grad_x)[::shape.stride] += shape.of(torch.mm(grads[-1], plain))
        grad_residual = grad if ctx.has_residual else None
        return (grad_x, grad_residual, None, ctx.left_out, grad_weight1, norm1.grad_weight, norm1.grad_bias,
                norm2.grad_weight, norm2.grad_bias, *grad_kernels)


class StridedLinearNorm(torch.autograd.Function):
    """batch norm(linear map of every stride-th frame), training mode: keeps its input only.

    apply(x (T*P, C_in), weight (C_out, C_in), bias (C_out), norm weight (C_out), norm bias (C_out), shape, eps)
        -> (output (T'*P, C_out), mean (C_out), var (C_out)). The bias is left out, and has a gradient of zero.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm_weight: Tensor, norm_bias: Tensor,
                shape: TemporalShape, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        with without_autocast(x):
            mixed, moments = _product_and_moments(shape.every_stride(x), weight)
            norm = RowNorm(norm_weight, norm_bias, moments, eps)
            for piece in row_pieces(mixed):
                norm.apply(mixed[piece], out=mixed[piece])
        ctx.save_for_backward(x, weight, norm_weight, norm_bias, *moments)
        ctx.mark_non_differentiable(*moments)
        ctx.shape, ctx.eps = shape, eps
        return mixed, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, norm_weight, norm_bias, *moments = ctx.saved_tensors
        shape = ctx.shape
        with without_autocast(x):
            seen = shape.every_stride(x)
            norm = RowNorm(norm_weight, norm_bias, Moments(*moments), ctx.eps)
            grad = _through_norm(norm, grad.to(x.dtype).contiguous(), torch.mm(seen, weight.t()))
            grad_x = torch.zeros_like(x)
            shape.of(grad_x)[::shape.stride] = shape.of(torch.mm(grad, weight))
            grad_weight = torch.mm(grad.t(), seen)
        return grad_x, grad_weight, torch.zeros_like(norm.mean), norm.grad_weight, norm.grad_bias, None, None


def _product_and_moments(x: Tensor, weight: Tensor) -> tuple[Tensor, Moments]:
    """Return x W^T (R, C_out), and its moments."""
    out, row_moments = x.new_empty(len(x), len(weight)), PiecedMoments()
    for piece in row_pieces(out):
        torch.mm(x[piece], weight.t(), out=out[piece])
        row_moments.add(out[piece])
    return out, row_moments.total()


def _groups(rows: Tensor, norm: RowNorm, shape: TemporalShape) -> list[tuple[Tensor, RowNorm, range]]:
    """Return (rows, their part of the norm, which branches these are): a branch at a time, or on a GPU all at once."""
    number = rows.shape[1] // shape.width
    if all_at_once(rows):
        return [(rows, norm, range(number))]
    return list(zip(rows.split(shape.width, dim=1), norm.split(shape.width), (range(i, i + 1) for i in range(number)),
                    strict=True))


def _hidden_gradient(grads: Sequence[Tensor], hidden: Tensor, norm1: RowNorm, kernels: Sequence[Tensor],
                     options: BranchOptions) -> tuple[Tensor, list[Tensor]]:
    """Return the gradients of the first convolution's output and of the kernels, given those of the branches' ends."""
    shape, parts, grad_kernels = options.shape, [], []
    for rows, norm, members in _groups(hidden, norm1, shape):
        active = norm.relu(rows)
        grad_rows = torch.empty_like(active)
        for i, own, slot in zip(members, *(t.split(shape.width, dim=1) for t in (active, grad_rows)), strict=True):
            if i < len(kernels):
                grad_active, grad_kernel = _convolve_backward(grads[i], own, kernels[i], options.dilations[i], shape)
                grad_kernels.append(grad_kernel)
            else:
                grad_active = _max_pool_backward(grads[i], own, shape)
            relu_backward_into(slot, grad_active, own)
        parts.append(_through_norm(norm, grad_rows, rows))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1), grad_kernels


def _through_norm(norm: RowNorm, grad: Tensor, rows: Tensor) -> Tensor:
    """Return the gradient of all rows in front of the norm, given that behind it."""
    norm.collect(grad, rows)
    return norm.backward(grad, rows, len(rows))


def _taps(kernel: Tensor, dilation: int) -> list[tuple[int, Tensor]]:
    """Return (offset in frames, matrix (b_out, b_in)) of each tap, first the middle one, which reaches all frames."""
    middle = kernel.shape[2] // 2
    order = sorted(range(kernel.shape[2]), key=lambda tap: abs(tap - middle))
    return [((tap - middle) * dilation, kernel[:, :, tap, 0]) for tap in order]


def _convolution(active: Tensor, kernel: Tensor, dilation: int, shape: TemporalShape,
                 out: Tensor | None = None) -> Tensor:
    """Return a temporal convolution (T'*P, b) of `active` (T*P, b), in `out` if that is given."""
    (_, middle), *others = _taps(kernel, dilation)
    out = torch.mm(shape.every_stride(active), middle.t(), out=out)
    for offset, matrix in others:
        to, source = _shifted_rows(active, offset, shape)
        out[to].addmm_(source, matrix.t())
    return out


def _convolve_backward(grad: Tensor, active: Tensor, kernel: Tensor, dilation: int,
                       shape: TemporalShape) -> tuple[Tensor, Tensor]:
    """Return the gradients of `active` and of the kernel."""
    grad_active, grad_kernel = torch.zeros_like(active), torch.empty_like(kernel)
    middle = kernel.shape[2] // 2
    for offset, matrix in _taps(kernel, dilation):
        to, source = _shifted_rows(active, offset, shape)
        grad_kernel[:, :, middle + offset // dilation, 0] = torch.mm(grad[to].t(), source)
        if shape.stride == 1:
            frames = shape.shifted(offset)[1]
            grad_active[frames.start * shape.joints:frames.stop * shape.joints].addmm_(grad[to], matrix)
        else:
            shape.of(grad_active)[shape.shifted(offset)[1]] += shape.of(torch.mm(grad[to], matrix))
    return grad_active, grad_kernel


def _shifted_rows(rows: Tensor, offset: int, shape: TemporalShape) -> tuple[slice, Tensor]:
    """Return which rows out a tap reaches, and the rows it takes there."""
    to, frames = shape.shifted(offset)
    return slice(to.start * shape.joints, to.stop * shape.joints), shape.of(rows)[frames].flatten(0, 1)


def _pool_windows(rows: Tensor, shape: TemporalShape, value: float = float("-inf")) -> tuple[Tensor, list[Tensor]]:
    """Return rows (T*P, C) with a frame of `value` at each end, and three views (T', P, C) of it: the frame before
    each one, a stride apart, that one, and the frame after."""
    padded = F.pad(shape.of(rows), (0, 0, 0, 0, 1, 1), value=value)  # (T + 2, P, C)
    return padded, [padded[start:start + shape.frames:shape.stride] for start in range(POOL_FRAMES)]


def _max_pool(active: Tensor, shape: TemporalShape) -> Tensor:
    """Return the maximum of each frame, a stride apart, and its two neighbours (ends have one)."""
    _, (before, here, after) = _pool_windows(active, shape)
    return torch.maximum(torch.maximum(before, here), after).flatten(0, 1)


def _max_pool_backward(grad: Tensor, active: Tensor, shape: TemporalShape) -> Tensor:
    """Return the gradient of `active`: each window's goes to its first maximum."""
    _, windows = _pool_windows(active, shape)
    grad_padded, grad_windows = _pool_windows(torch.zeros_like(active), shape, value=0)
    for own, grad_window in zip(first_maximum(*windows), grad_windows, strict=True):
        grad_window += torch.where(own, shape.of(grad), 0)
    return grad_padded[1:-1].flatten(0, 1)


def evaluate_branches(x: Tensor, options: BranchOptions, first: tuple[Tensor, Tensor],
                      kernels: Sequence[tuple[Tensor, Tensor]], pool_norm: tuple[Tensor, Tensor]) -> Tensor:
    """Return all branches (T'*P, C_out) in evaluation mode, their batch norms folded into the convolutions.

    Args:
        x: (T*P, C_in). first: weight (C_out, C_in) and bias (C_out) of the 1x1 convolutions. kernels: weight
            (b, b, k, 1) and bias (b) of each temporal convolution. pool_norm: scale and shift (b) behind the pool.
    """
    shape = options.shape
    weight, bias = (tensor.to(x.dtype) for tensor in first)
    split = len(weight) - shape.width
    active = F.linear(x, weight[:split], bias[:split]).relu_().split(shape.width, dim=1)
    outs = [_convolution(part, kernel.to(x.dtype), dilation, shape).add_(shift.to(x.dtype))
            for part, (kernel, shift), dilation in zip(active, kernels, options.dilations, strict=False)]
    scale, shift = (tensor.to(x.dtype) for tensor in pool_norm)
    outs.append(torch.addcmul(shift, _max_pool(active[-1], shape), scale))
    outs.append(F.linear(shape.every_stride(x), weight[split:], bias[split:]))
    return torch.cat(outs, dim=1)
