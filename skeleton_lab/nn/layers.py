"""Blocks that more than one model uses.

Attribute names that appear in a state dict (`branches`, `residual`, `conv`, `bn`) are those of the published models,
so that their checkpoints load unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.errors import UserError
from skeleton_lab.nn.norm import Moments, folded, update_running
from skeleton_lab.nn.pointwise import PointwiseNorm, pointwise, strided_frames
from skeleton_lab.nn.precision import working_dtype
from skeleton_lab.nn.temporal import BranchPlan, TemporalBranches, folded_branches


def init_he_fan_out(conv: nn.Conv2d) -> None:
    """Draw weights from N(0, 2 / (out_channels * kernel area)) and set the bias to zero, in place."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def init_batch_norm(norm: nn.BatchNorm2d, scale: float = 1.0) -> None:
    """Set the weight to `scale` and the bias to zero, in place."""
    nn.init.constant_(norm.weight, scale)
    nn.init.zeros_(norm.bias)


def bodies_to_batch(clips: Tensor, data_bn: nn.BatchNorm1d, same_moments: bool = False) -> Tensor:
    """Normalise every (body, joint, coordinate) over the batch and time; make bodies part of the batch.

    Args:
        clips: (N, C, T, V, M) float.
        data_bn: batch norm over M*V*C features, the coordinate fastest, then the joint.
        same_moments: it is over V*C features, and all bodies, absent ones too, are taken together.

    Returns:
        (N*M, C, T, V), the body fastest in the batch axis.
    """
    if clips.ndim != 5:
        raise UserError(f"clips have 5 axes (N, C, T, V, M), these have {clips.ndim}: {tuple(clips.shape)}")
    n, c, t, v, m = clips.shape
    bodies = 1 if same_moments else m
    if bodies * v * c != data_bn.num_features:
        raise UserError(f"clips of {c} coordinates, {v} joints and {m} bodies do not fit a model built for "
                        f"{data_bn.num_features} numbers a frame; check num_point, num_person and in_channels")
    features = clips.permute(0, 4, 3, 1, 2).reshape(n * m // bodies, bodies * v * c, t)  # (N, M*V*C, T)
    features = data_bn(features)
    return features.view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)


class TemporalConv(nn.Module):
    """Convolution over time, kernel (k, 1), and batch norm: (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1,
                 dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel_size - 1) // 2
        self.conv = nn.Conv2d(in_channels, out_channels, (kernel_size, 1), (stride, 1), (padding, 0), (dilation, 1))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d, stride: int = 1, time_axis: int = 2) -> Tensor:
    """Return norm(conv(every stride-th frame of x)) for a 1x1 convolution with bias, keeping only x for the gradients.

    In evaluation mode the norm is folded into the convolution.
    """
    assert conv.bias is not None
    dtype = working_dtype(x)
    x = x.to(dtype)
    if not norm.training:
        scale, shift = folded([norm])
        weight = (conv.weight.flatten(1) * scale.unsqueeze(1)).to(dtype)
        bias = (conv.bias * scale + shift).to(dtype)
        return pointwise(weight, strided_frames(x, stride, time_axis)).add_(bias.view(-1, 1, 1))
    out, *moments = PointwiseNorm.apply(x, conv.weight.flatten(1).to(dtype), conv.bias, norm.weight, norm.bias,
                                        norm.eps, stride, time_axis)
    update_running([norm], Moments(*moments), out.numel() // out.shape[1], left_out=conv.bias)
    return out


class PointwiseConvNorm(nn.Module):
    """1x1 convolution, strided over time, and batch norm: (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V).

    With `time_axis` 3, T and V change places, in and out.
    """

    written_by_hand = True  # not for torch.compile, see `train.compiling`

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, time_axis: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.time_axis = time_axis

    def forward(self, x: Tensor) -> Tensor:
        return conv_norm(x, self.conv, self.bn, self.stride, self.time_axis)


class MultiScaleTemporalConv(nn.Module):
    """Temporal convolutions of several dilations, a max-pool and a plain branch, side by side (MS-TCN).

    (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V). Every branch has C_out / (number of dilations + 2) channels.
    MS-G3D section 3.4 (kernel 3, dilations 1 to 4, residual, activation); CTR-GCN section 3.3 (kernel 5,
    dilations 1 and 2, neither). Parameters start at the framework's defaults.

    Args:
        residual: add the input, through a strided 1x1 convolution and batch norm where its shape differs.
        activation: end with a ReLU.
        time_axis: 2, or 3 for (B, C, V, T) in and out.
        uneven: where C_out does not divide, the first branch has what the others leave; else that is refused.
    """

    written_by_hand = True  # not for torch.compile, see `train.compiling`

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, dilations: Sequence[int],
                 stride: int = 1, residual: bool, activation: bool, time_axis: int = 2, uneven: bool = False) -> None:
        super().__init__()
        num_branches = len(dilations) + 2
        width, left = divmod(out_channels, num_branches)
        if not width or (left and not uneven):
            raise UserError(f"{out_channels} channels do not divide into {num_branches} temporal branches")
        widths = [width + left, *[width] * (len(dilations) - 1)]
        branches = [_branch(in_channels, own, TemporalConv(own, own, kernel_size, stride, dilation))
                    for own, dilation in zip(widths, dilations, strict=True)]
        pool = nn.MaxPool2d((3, 1), (stride, 1), (1, 0))
        branches.append(_branch(in_channels, width, pool, nn.BatchNorm2d(width)))
        branches.append(nn.Sequential(nn.Conv2d(in_channels, width, 1, (stride, 1)), nn.BatchNorm2d(width)))
        self.branches = nn.ModuleList(branches)
        self.residual = _residual(in_channels, out_channels, stride, time_axis) if residual else None
        self.activation = activation
        eps = self._parts()[0][1].eps
        self.plan = BranchPlan(kernel_size, tuple(dilations), stride, time_axis, activation, eps)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the branches plus the residual, or plus `shortcut` where this unit has none of its own."""
        if self.residual is not None:
            shortcut = self.residual(x)
        return (self._train if self._parts()[0][1].training else self._evaluate)(x, shortcut)

    def _parts(self) -> list[Any]:
        """Return the branches, of which only `__init__` says what modules they consist of."""
        return list(self.branches)

    def _norms(self) -> tuple[list[nn.BatchNorm2d], list[nn.BatchNorm2d]]:
        """Return each branch's norm in front of its ReLU (the last has none), and each branch's last norm."""
        branches = self._parts()
        firsts = [branch[1] for branch in branches]
        convolved = [branch[3].bn for branch in branches[:-2]]
        return firsts[:-1], [*convolved, branches[-2][4], firsts[-1]]

    def _train(self, x: Tensor, shortcut: Tensor | None) -> Tensor:
        dtype = working_dtype(x)
        branches = self._parts()
        pointwise = [branch[0] for branch in branches]
        convs = [branch[3].conv for branch in branches[:-2]]
        norms1, norms2 = self._norms()
        bias1 = torch.cat([conv.bias for conv in pointwise])
        bias2 = torch.cat([conv.bias for conv in convs])
        weight1 = torch.cat([conv.weight for conv in pointwise]).flatten(1)
        out, *moments = TemporalBranches.apply(
            x.to(dtype), shortcut, self.plan, weight1.to(dtype), bias1, *_affine(norms1), *_affine(norms2), bias2,
            *(conv.weight.to(dtype) for conv in convs))
        width = norms2[-1].num_features
        update_running(norms1, Moments(*moments[:2]), x.numel() // x.shape[1], left_out=bias1[:-width])
        left_out = torch.cat([bias2, torch.zeros_like(bias1[:width]), bias1[-width:]])
        update_running(norms2, Moments(*moments[2:]), out.numel() // out.shape[1], left_out=left_out)
        return out

    def _evaluate(self, x: Tensor, shortcut: Tensor | None) -> Tensor:
        dtype = working_dtype(x)
        branches = self._parts()
        pointwise = [branch[0] for branch in branches]
        norms1, norms2 = self._norms()
        scale, shift = folded([*norms1, norms2[-1]])
        weight = torch.cat([conv.weight for conv in pointwise]).flatten(1) * scale.unsqueeze(1)
        bias = torch.cat([conv.bias for conv in pointwise]) * scale + shift
        seconds = []
        for branch, norm in zip(branches[:-2], norms2[:-2], strict=True):
            conv, (scale, shift) = branch[3].conv, folded([norm])
            seconds.append(((conv.weight * scale.view(-1, 1, 1, 1)).to(dtype), (conv.bias * scale + shift).to(dtype)))
        scale, shift = folded(norms2[-2:-1])
        out = folded_branches(x.to(dtype), self.plan, (weight.to(dtype), bias.to(dtype)), seconds,
                              (scale.to(dtype), shift.to(dtype)))
        out = out if shortcut is None else out.add_(shortcut)
        return out.relu_() if self.plan.activation else out


def _affine(norms: Sequence[nn.BatchNorm2d]) -> tuple[Tensor, Tensor]:
    return torch.cat([norm.weight for norm in norms]), torch.cat([norm.bias for norm in norms])


def _branch(in_channels: int, width: int, *tail: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True), *tail)


def _residual(in_channels: int, out_channels: int, stride: int, time_axis: int) -> nn.Module:
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    return PointwiseConvNorm(in_channels, out_channels, stride, time_axis)
