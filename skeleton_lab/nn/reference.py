"""Units that more than one model uses, as their equations read: standard operators on (B, C, T, V), nothing fused.

`layers` has the same units with operators of its own; they derive from these, so that parameters, keys and starting
values are one. Attribute names (`branches`, `residual`, `conv`, `bn`) are those of the published models, whose
checkpoints load unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skeleton_lab.errors import UserError

POOL_FRAMES = 3


class TemporalConv(nn.Module):
    """Convolution over time, kernel (k, 1), and batch norm: (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V).

    Beyond the ends are zeros or, with `repeat_ends`, the first and the last frame again.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1,
                 repeat_ends: bool = False) -> None:
        super().__init__()
        padding = dilation * (kernel_size - 1) // 2
        self.conv = nn.Conv2d(in_channels, out_channels, (kernel_size, 1), (stride, 1), (padding, 0), (dilation, 1),
                              padding_mode="replicate" if repeat_ends else "zeros")
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class PointwiseConvNorm(TemporalConv):
    """1x1 convolution, strided over time, and batch norm: (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 1, stride)


class MultiScaleTemporalConv(nn.Module):
    """Temporal convolutions of several dilations, a max-pool and a plain branch, side by side (MS-TCN).

    (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V). Every branch has C_out / (number of dilations + 2) channels.
    MS-G3D section 3.4 (kernel 3, dilations 1 to 4, residual, activation); CTR-GCN section 3.3 (kernel 5,
    dilations 1 and 2, neither). Parameters start at the framework's defaults.

    Args:
        residual: add the input, through a strided 1x1 convolution and batch norm where its shape differs.
        activation: end with a ReLU.
        uneven: where C_out does not divide, the first branch has what the others leave; else that is refused.
        repeat_ends: convolutions see the first and the last frame again beyond them, in place of zeros (Hyper-GCN).

    Raises:
        UserError: the channels do not divide.
    """

    residual_unit: ClassVar[type[PointwiseConvNorm]] = PointwiseConvNorm

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, dilations: Sequence[int],
                 stride: int = 1, residual: bool, activation: bool, uneven: bool = False,
                 repeat_ends: bool = False) -> None:
        super().__init__()
        num_branches = len(dilations) + 2
        width, left = divmod(out_channels, num_branches)
        if not width or (left and not uneven):
            raise UserError(f"{out_channels} channels do not divide into {num_branches} temporal branches; choose a "
                            "multiple of that")
        widths = [width + left, *[width] * (len(dilations) - 1)]
        branches = [_branch(in_channels, own, TemporalConv(own, own, kernel_size, stride, dilation, repeat_ends))
                    for own, dilation in zip(widths, dilations, strict=True)]
        pool = nn.MaxPool2d((POOL_FRAMES, 1), (stride, 1), (POOL_FRAMES // 2, 0))
        branches.append(_branch(in_channels, width, pool, nn.BatchNorm2d(width)))
        branches.append(nn.Sequential(nn.Conv2d(in_channels, width, 1, (stride, 1)), nn.BatchNorm2d(width)))
        self.branches = nn.ModuleList(branches)
        self.residual = self._residual(in_channels, out_channels, stride) if residual else None
        self.activation = activation

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the branches plus the residual, or plus `shortcut` where this unit has none of its own."""
        if self.residual is not None:
            shortcut = self.residual(x)
        out = self._side_by_side(x)
        out = out if shortcut is None else out + shortcut
        return torch.relu(out) if self.activation else out

    def _side_by_side(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)

    def _residual(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        if in_channels == out_channels and stride == 1:
            return nn.Identity()
        return self.residual_unit(in_channels, out_channels, stride)


def _branch(in_channels: int, width: int, *tail: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True), *tail)


def every_stride(x: Tensor, stride: int) -> Tensor:
    """Return the frames of x (B, C, T, V) at multiples of `stride`; as a pool, whose length exporters know to be that
    of a strided convolution."""
    return x if stride == 1 else F.max_pool2d(x, 1, (stride, 1))
