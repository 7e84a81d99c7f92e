"""The branches of a multi-scale temporal convolution as one operator (see `layers.MultiScaleTemporalConv`).
As standard operators it is `MultiScaleTemporalConv` in `skeleton_lab/nn/reference.py`.

Side by side the branches are one 1x1 convolution, one batch norm over all that a ReLU follows, the temporal
convolutions and the pool, and one batch norm over everything. A convolution's bias is left out where a batch norm in
training mode follows: the norm takes it out again, and its gradient is zero.

Tensors are (B, C, T, V) with `time_axis` 2, or (B, C, V, T) with 3; only temporal convolutions and pools look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skeleton_lab.nn.chunking import all_at_once, scratch
from skeleton_lab.nn.norm import Moments, batch_moments, normalize, normalize_backward, relu_backward, relu_backward_
from skeleton_lab.nn.pointwise import pointwise, pointwise_weight_grad, strided_frames
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.reference import POOL_FRAMES


class Geometry(TypedDict):
    """How a convolution goes over frames and joints, in the order of its layout."""

    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class BranchPlan:
    """What the branches have in common.

    activation: a ReLU at the end; eps: of every batch norm; repeat_ends: convolutions see the first and the last frame
    again beyond them, in place of zeros.
    """

    kernel_size: int
    dilations: tuple[int, ...]
    stride: int
    time_axis: int
    activation: bool
    eps: float
    repeat_ends: bool = False

    def convolution(self, dilation: int) -> Geometry:
        """Return the geometry of one temporal convolution of `extended` frames as `conv2d` takes it."""
        return {"stride": self._along_time(self.stride, 1), "dilation": self._along_time(dilation, 1),
                "padding": self._along_time(0 if self.repeat_ends else self.beyond(dilation), 0)}

    def extended(self, x: Tensor, dilation: int) -> Tensor:
        """Return x with the frames that a convolution sees beyond its ends, x itself where these are zeros."""
        if not self.repeat_ends:
            return x
        frames, beyond = x.shape[self.time_axis], self.beyond(dilation)
        first, last = x.narrow(self.time_axis, 0, 1), x.narrow(self.time_axis, frames - 1, 1)
        shape = [-1, -1, *self._along_time(beyond, -1)]
        return torch.cat([first.expand(shape), x, last.expand(shape)], dim=self.time_axis)

    def extended_backward(self, grad: Tensor, dilation: int) -> Tensor:
        """Return the gradient of x, given that of `extended`, which may be written over."""
        if not self.repeat_ends:
            return grad
        beyond = self.beyond(dilation)
        before, inner, after = grad.split([beyond, grad.shape[self.time_axis] - 2 * beyond, beyond], self.time_axis)
        inner.narrow(self.time_axis, 0, 1).add_(before.sum(self.time_axis, keepdim=True))
        inner.narrow(self.time_axis, inner.shape[self.time_axis] - 1, 1).add_(after.sum(self.time_axis, keepdim=True))
        return inner

    def beyond(self, dilation: int) -> int:
        """Return how many frames a convolution sees beyond each end."""
        return dilation * (self.kernel_size - 1) // 2

    def kernel(self, weight: Tensor) -> Tensor:
        """Return a (k, 1) convolution's weight as this layout's convolution takes it."""
        return weight if self.time_axis == 2 else weight.transpose(2, 3)

    def every_stride(self, x: Tensor) -> Tensor:
        """Return the frames of x at multiples of the stride: a view."""
        return strided_frames(x, self.stride, self.time_axis)

    def _along_time(self, time: int, joints: int) -> tuple[int, int]:
        return (time, joints) if self.time_axis == 2 else (joints, time)


def max_pool_frames(x: Tensor, plan: BranchPlan) -> Tensor:
    """Return the maximum of each frame, a stride apart, and its two neighbours (ends have one)."""
    before, here, after = _pool_windows(_pad_frames(x, plan), plan)
    return torch.maximum(torch.maximum(before, here), after)


def _pad_frames(x: Tensor, plan: BranchPlan, value: float = float("-inf")) -> Tensor:
    return F.pad(x, (0, 0, 1, 1) if plan.time_axis == 2 else (1, 1), value=value)


def _pool_windows(padded: Tensor, plan: BranchPlan) -> list[Tensor]:
    frames = padded.shape[plan.time_axis] - 2
    return [plan.every_stride(padded.narrow(plan.time_axis, start, frames)) for start in range(POOL_FRAMES)]


def _max_pool_backward(grad: Tensor, x: Tensor, plan: BranchPlan) -> Tensor:
    """Return the gradient of x: each window's goes to its first maximum."""
    padded = _pad_frames(x, plan)
    grad_padded = torch.zeros_like(padded)
    shares = first_maximum(*_pool_windows(padded, plan))
    for own, grad_window in zip(shares, _pool_windows(grad_padded, plan), strict=True):
        grad_window += torch.where(own, grad, 0)
    return grad_padded.narrow(plan.time_axis, 1, x.shape[plan.time_axis])


def first_maximum(before: Tensor, here: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return three masks of which each element has exactly one set: where each tensor is the first maximum.

    Exactly one by construction, whatever a compiler does to the last bits of its arguments: no comparison with a
    maximum that was computed elsewhere.
    """
    first = (before >= here) & (before >= after)
    second = (here >= after) & ~first
    return first, second, ~(first | second)


class TemporalBranches(torch.autograd.Function):
    """All branches, training mode: keeps its input, the first convolution's output and the second norm's input.

    With an activation it keeps its output too, which the next layer keeps in any case.

    apply(x (B, C_in, ...), shortcut to add to the output or None, plan, weight1 (C_out, C_in), bias1 (C_out),
    norm1 weight and bias (C_out - b), norm2 weight and bias (C_out), bias2 (b * dilations),
    *temporal weights (b, b, k, 1)) -> (output (B, C_out, ...), mean1, var1 (C_out - b), mean2, var2 (C_out)),
    where b is the width of a branch; convolved branches may have widths of their own.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, shortcut: Tensor | None, plan: BranchPlan, weight1: Tensor, bias1: Tensor,
                norm1_weight: Tensor, norm1_bias: Tensor, norm2_weight: Tensor, norm2_bias: Tensor, bias2: Tensor,
                *kernels: Tensor) -> tuple[Tensor, ...]:
        with without_autocast(x):
            weights = BranchWeights(weight1, norm1_weight, norm1_bias, norm2_weight, norm2_bias)
            out, kept = run_branches(x, shortcut, plan, weights, kernels)
        ctx.plan, ctx.has_shortcut = plan, shortcut is not None
        ctx.save_for_backward(x, out if plan.activation else None, bias1, bias2, *kept, *weights, *kernels)
        ctx.mark_non_differentiable(*kept[2:])
        return out, *kept[2:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, out, bias1, bias2, *rest = ctx.saved_tensors
        with without_autocast(x):
            grad = grad.contiguous() if out is None else relu_backward(grad, out)
            kept, weights, kernels = KeptOfBranches(*rest[:6]), BranchWeights(*rest[6:11]), rest[11:]
            inner, grads, grad_kernels = branches_backward(grad, ctx.plan, kept, weights, kernels)
            grad_x, grad_weight1 = inner(x)
        return (grad_x, grad if ctx.has_shortcut else None, None, grad_weight1, torch.zeros_like(bias1), *grads,
                torch.zeros_like(bias2), *grad_kernels)


class BranchWeights(NamedTuple):
    """What the branches learn but for kernels and biases: see `TemporalBranches`."""

    weight1: Tensor
    norm1_weight: Tensor
    norm1_bias: Tensor
    norm2_weight: Tensor
    norm2_bias: Tensor


class KeptOfBranches(NamedTuple):
    """What the branches' gradients need of a pass: what each of the two norms takes, and its moments."""

    hidden: Tensor
    merged: Tensor
    mean1: Tensor
    var1: Tensor
    mean2: Tensor
    var2: Tensor


def run_branches(x: Tensor, shortcut: Tensor | None, plan: BranchPlan, weights: BranchWeights,
                 kernels: Sequence[Tensor]) -> tuple[Tensor, KeptOfBranches]:
    """Return what the branches give of x, plus `shortcut`, and what their gradients need beside x."""
    weight1, norm1_weight, norm1_bias, norm2_weight, norm2_bias = weights
    head, plain = weight1.split(norm1_weight.shape[0])  # the last branch has neither ReLU nor a second layer
    hidden = pointwise(head, x)
    moments1 = batch_moments(hidden)
    active = normalize(hidden, norm1_weight, norm1_bias, moments1, plan.eps).relu_()
    merged = x.new_empty(x.shape[0], weight1.shape[0], *plan.every_stride(x[:1]).shape[2:])
    convolve(active, plan, kernels, merged)
    pointwise(plain, plan.every_stride(x), out=merged[:, head.shape[0]:])
    moments2 = batch_moments(merged)
    out = normalize(merged, norm2_weight, norm2_bias, moments2, plan.eps)
    out = out if shortcut is None else out.add_(shortcut)
    return out.relu_() if plan.activation else out, KeptOfBranches(hidden, merged, *moments1, *moments2)


def branches_backward(grad: Tensor, plan: BranchPlan, kept: KeptOfBranches, weights: BranchWeights,
                      kernels: Sequence[Tensor]) -> tuple[Callable[[Tensor], tuple[Tensor, Tensor]], list[Tensor],
                                                          list[Tensor]]:
    """Take the gradient of the branches' output, in front of its ReLU, back.

    Returns:
        a function of x that gives the gradients of x and of `weight1`; those of the norms' four vectors; the kernels'.
    """
    weight1, norm1_weight, norm1_bias, norm2_weight, _ = weights
    moments1, moments2 = Moments(kept.mean1, kept.var1), Moments(kept.mean2, kept.var2)
    grad_merged, *grad_norm2 = normalize_backward(grad, kept.merged, norm2_weight, moments2, plan.eps)
    active = normalize(kept.hidden, norm1_weight, norm1_bias, moments1, plan.eps).relu_()
    grad_active, grad_kernels = convolve_backward(grad_merged, active, plan, kernels)
    relu_backward_(grad_active, active)
    grad_hidden, *grad_norm1 = normalize_backward(grad_active, kept.hidden, norm1_weight, moments1, plan.eps)
    return (lambda x: _pointwise_backward(grad_hidden, grad_merged, x, weight1, plan),
            [*grad_norm1, *grad_norm2], grad_kernels)


class NormedTemporalBranches(torch.autograd.Function):
    """All branches of a = relu(batch norm(x) + inner shortcut), training mode, which must have an activation.

    Keeps x and the inner shortcut in place of a, which follows from them without a product; else as `TemporalBranches`.

    apply(x (B, C_in, ...), its norm's weight, bias, mean and var (C_in), inner shortcut like x, what is kept in its
    place: a tensor and a bias (B, C_in) that it is the sum of, or None twice; then as `TemporalBranches` after its x).
    The inner shortcut gets the gradient, what is kept in its place gets none.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm_weight: Tensor, norm_bias: Tensor, mean: Tensor, var: Tensor, inner: Tensor,
                instead: Tensor | None, instead_bias: Tensor | None, shortcut: Tensor | None, plan: BranchPlan,
                weight1: Tensor, bias1: Tensor, norm1_weight: Tensor, norm1_bias: Tensor, norm2_weight: Tensor,
                norm2_bias: Tensor, bias2: Tensor, *kernels: Tensor) -> tuple[Tensor, ...]:
        assert plan.activation
        with without_autocast(x):
            a = normalize(x, norm_weight, norm_bias, Moments(mean, var), plan.eps).add_(inner).relu_()
            weights = BranchWeights(weight1, norm1_weight, norm1_bias, norm2_weight, norm2_bias)
            out, kept = run_branches(a, shortcut, plan, weights, kernels)
        ctx.plan, ctx.has_shortcut = plan, shortcut is not None
        ctx.save_for_backward(x, inner if instead is None else instead, instead_bias, norm_weight, norm_bias, mean, var,
                              out, bias1, bias2, *kept, *weights, *kernels)
        ctx.mark_non_differentiable(*kept[2:])
        return out, *kept[2:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, inner, inner_bias, norm_weight, norm_bias, mean, var, out, bias1, bias2, *rest = ctx.saved_tensors
        moments, eps = Moments(mean, var), ctx.plan.eps
        with without_autocast(x):
            grad = relu_backward(grad, out)
            kept, weights, kernels = KeptOfBranches(*rest[:6]), BranchWeights(*rest[6:11]), rest[11:]
            finish, grads, grad_kernels = branches_backward(grad, ctx.plan, kept, weights, kernels)
            a = normalize(x, norm_weight, norm_bias, moments, eps)
            a = a.add_(with_per_channel(inner, inner_bias)).relu_()
            grad_a, grad_weight1 = finish(a)
            relu_backward_(grad_a, a)
            del a
            grad_x, *grad_norm = normalize_backward(grad_a, x, norm_weight, moments, eps)
        return (grad_x, *grad_norm, None, None, grad_a, None, None, grad if ctx.has_shortcut else None, None,
                grad_weight1, torch.zeros_like(bias1), *grads, torch.zeros_like(bias2), *grad_kernels)


def with_per_channel(x: Tensor, bias: Tensor | None) -> Tensor:
    """Return x (B, C, ...) + a bias (B, C), in the dtype of x; x itself without one."""
    return x if bias is None else x + bias[:, :, None, None].to(x.dtype)


def convolve(active: Tensor, plan: BranchPlan, kernels: Sequence[Tensor], merged: Tensor) -> None:
    """Write the temporal convolutions and the pool of `active` side by side into `merged`, from its start."""
    widths = _widths(active, kernels)
    parts, slots = active.split(widths, dim=1), merged[:, :active.shape[1]].split(widths, dim=1)
    for slot, part, kernel, dilation in zip(slots, parts, kernels, plan.dilations, strict=False):
        slot.copy_(F.conv2d(plan.extended(part, dilation), plan.kernel(kernel), **plan.convolution(dilation)))
    slots[len(kernels)].copy_(max_pool_frames(parts[-1], plan))


def convolve_backward(grad: Tensor, active: Tensor, plan: BranchPlan,
                       kernels: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Take the gradient of `merged` back; return those of `active` and of the kernels."""
    widths = _widths(active, kernels)
    grad_active = torch.empty_like(active)
    parts, slots, grad_parts = (tensor[:, :active.shape[1]].split(widths, dim=1)
                                for tensor in (active, grad, grad_active))
    grad_kernels = []
    for branch, (kernel, dilation) in enumerate(zip(kernels, plan.dilations, strict=True)):
        geometry = plan.convolution(dilation)
        grad_part, grad_kernel, _ = torch.ops.aten.convolution_backward(
            slots[branch], plan.extended(parts[branch], dilation), plan.kernel(kernel), None, geometry["stride"],
            geometry["padding"], geometry["dilation"], False, (0, 0), 1, (True, True, False))
        grad_parts[branch].copy_(plan.extended_backward(grad_part, dilation))
        grad_kernels.append(grad_kernel.reshape(kernel.shape))  # of the kernel's strides, as DDP wants them
    pool = len(kernels)
    grad_parts[pool].copy_(_max_pool_backward(slots[pool], parts[pool], plan))
    return grad_active, grad_kernels


def _widths(active: Tensor, kernels: Sequence[Tensor]) -> list[int]:
    """Return the channels of each branch of `active`: one for each kernel, then the pool."""
    convolved = [kernel.shape[0] for kernel in kernels]
    return [*convolved, active.shape[1] - sum(convolved)]


def _pointwise_backward(grad_hidden: Tensor, grad: Tensor, x: Tensor, weight1: Tensor,
                        plan: BranchPlan) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and of the 1x1 convolutions' weight, given those of `hidden` and `merged`."""
    split = grad_hidden.shape[1]
    head, plain = weight1.split(split)
    grad_plain = grad[:, split:]
    grad_weight1 = torch.cat([pointwise_weight_grad(grad_hidden, x),
                              pointwise_weight_grad(grad_plain, plan.every_stride(x))])
    grad_x = pointwise(head.t(), grad_hidden)
    plan.every_stride(grad_x).add_(pointwise(plain.t(), grad_plain))
    return grad_x, grad_weight1


class FoldedBranches(NamedTuple):
    """The branches' weights in evaluation mode, with the batch norms folded into the convolutions.

    first (C_out, C_in), first_bias (C_out, 1): the 1x1 convolutions; all but the last b channels have a ReLU behind
    them. kernels (b, b, k, 1), shifts (b): the temporal convolutions. pool_scale, pool_shift (b, 1, 1): behind the
    pool, whose sign may turn a maximum over.
    """

    first: Tensor
    first_bias: Tensor
    kernels: Sequence[Tensor]
    shifts: Sequence[Tensor]
    pool_scale: Tensor
    pool_shift: Tensor

    @property
    def plain(self) -> int:
        """The channels of the branch that is nothing but a 1x1 convolution."""
        return len(self.pool_scale)


def folded_branches(x: Tensor, plan: BranchPlan, weights: FoldedBranches) -> Tensor:
    """All branches, evaluation mode."""
    if plan.time_axis == 3 and plan.stride == 1 and not (
            plan.repeat_ends or all_at_once(x) or torch.is_grad_enabled()):
        return _shifted_branches(x, plan, weights)
    head, plain = weights.first.split(len(weights.first) - weights.plain)
    head_bias, plain_bias = weights.first_bias.unsqueeze(-1).split(len(head))
    active = pointwise(head, x).add_(head_bias).relu_()
    parts = active.split(_widths(active, weights.kernels), dim=1)
    branches = [F.conv2d(plan.extended(part, dilation), plan.kernel(kernel), shift, **plan.convolution(dilation))
                for part, kernel, shift, dilation in
                zip(parts, weights.kernels, weights.shifts, plan.dilations, strict=False)]
    branches.append(max_pool_frames(parts[-1], plan).mul_(weights.pool_scale).add_(weights.pool_shift))
    branches.append(pointwise(plain, plan.every_stride(x)).add_(plain_bias))
    return torch.cat(branches, dim=1)


def _shifted_branches(x: Tensor, plan: BranchPlan, weights: FoldedBranches) -> Tensor:
    """The same of x (B, C_in, V, T) by matrix products: a convolution is a sum of products with shifted frames.

    The frames of a joint are followed by as many zeros as a convolution sees beyond an end, so that all joints shift
    at once. Narrow as they are, the convolutions are faster so on processors without AVX-512.
    """
    b, _, v, t = x.shape
    channels, ahead = len(weights.first) - weights.plain, max(1, *map(plan.beyond, plan.dilations))
    columns = v * (t + ahead)
    hidden = torch.baddbmm(weights.first_bias, weights.first.expand(b, -1, -1), x.flatten(2))
    padded = scratch("frames", b, channels, columns + 2 * ahead, like=x)
    padded[..., :ahead], padded[..., -ahead:] = 0, 0
    inner = padded[..., ahead:-ahead].unflatten(2, (v, t + ahead))
    inner[..., t:] = 0
    torch.clamp_min(hidden[:, :channels].unflatten(2, (v, t)), 0, out=inner[..., :t])
    parts = padded.split(_widths(padded, weights.kernels), dim=1)
    out = x.new_empty(b, len(weights.first), v, t)
    slots = out.split([part.shape[1] for part in parts] + [weights.plain], dim=1)
    for slot, part, kernel, shift, dilation in zip(slots, parts, weights.kernels, weights.shifts, plan.dilations,
                                                   strict=False):
        start = ahead - plan.beyond(dilation)
        total = shift.unsqueeze(1)
        for tap in range(plan.kernel_size):
            frames = part.narrow(2, start + tap * dilation, columns)
            total = torch.baddbmm(total, kernel[:, :, tap, 0].expand(b, -1, -1), frames,
                                  out=scratch("convolved", b, len(kernel), columns, like=x))
        slot.copy_(total.unflatten(2, (v, t + ahead))[..., :t])
    before, here, after = (parts[-1].narrow(2, start, columns) for start in (ahead - 1, ahead, ahead + 1))
    pooled = torch.maximum(torch.maximum(before, here), after).unflatten(2, (v, t + ahead))[..., :t]
    torch.addcmul(weights.pool_shift, pooled, weights.pool_scale, out=slots[-2])
    slots[-1].copy_(hidden[:, channels:].unflatten(2, (v, t)))
    return out
