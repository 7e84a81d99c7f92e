"""Blocks that more than one model uses.

Attribute names that appear in a state dict (`branches`, `residual`, `conv`, `bn`) are those of the published models,
so that their checkpoints load unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skeleton_lab.errors import UserError


def init_he_fan_out(conv: nn.Conv2d) -> None:
    """Draw weights from N(0, 2 / (out_channels * kernel area)) and set the bias to zero, in place."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def init_batch_norm(norm: nn.BatchNorm2d, scale: float = 1.0) -> None:
    """Set the weight to `scale` and the bias to zero, in place."""
    nn.init.constant_(norm.weight, scale)
    nn.init.zeros_(norm.bias)


def bodies_to_batch(clips: Tensor, data_bn: nn.BatchNorm1d) -> Tensor:
    """Normalise every (body, joint, coordinate) over the batch and time; make bodies part of the batch.

    Args:
        clips: (N, C, T, V, M) float.
        data_bn: batch norm over M*V*C features, the coordinate fastest, then the joint.

    Returns:
        (N*M, C, T, V), the body fastest in the batch axis.
    """
    if clips.ndim != 5:
        raise UserError(f"clips have 5 axes (N, C, T, V, M), these have {clips.ndim}: {tuple(clips.shape)}")
    n, c, t, v, m = clips.shape
    if m * v * c != data_bn.num_features:
        raise UserError(f"clips of {c} coordinates, {v} joints and {m} bodies do not fit a model built for "
                        f"{data_bn.num_features} numbers a frame; check num_point, num_person and in_channels")
    features = clips.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t)  # (N, M*V*C, T)
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


class MultiScaleTemporalConv(nn.Module):
    """Temporal convolutions of several dilations, a max-pool and a plain branch, side by side (MS-TCN).

    (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V). Every branch has C_out / (number of dilations + 2) channels.
    MS-G3D section 3.4 (kernel 3, dilations 1 to 4, residual, activation); CTR-GCN section 3.3 (kernel 5,
    dilations 1 and 2, neither). Parameters start at the framework's defaults.

    Args:
        residual: add the input, through a strided 1x1 convolution and batch norm where its shape differs.
        activation: end with a ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, dilations: Sequence[int],
                 stride: int = 1, residual: bool, activation: bool) -> None:
        super().__init__()
        num_branches = len(dilations) + 2
        if out_channels % num_branches:
            raise UserError(f"{out_channels} channels do not divide into {num_branches} temporal branches")
        width = out_channels // num_branches
        branches = [_branch(in_channels, width, TemporalConv(width, width, kernel_size, stride, dilation))
                    for dilation in dilations]
        pool = nn.MaxPool2d((3, 1), (stride, 1), (1, 0))
        branches.append(_branch(in_channels, width, pool, nn.BatchNorm2d(width)))
        branches.append(nn.Sequential(nn.Conv2d(in_channels, width, 1, (stride, 1)), nn.BatchNorm2d(width)))
        self.branches = nn.ModuleList(branches)
        self.residual = _residual(in_channels, out_channels, stride) if residual else None
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        out = torch.cat([branch(x) for branch in self.branches], dim=1)
        if self.residual is not None:
            out = out + self.residual(x)
        return torch.relu_(out) if self.activation else out


def _branch(in_channels: int, width: int, *tail: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True), *tail)


def _residual(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    return TemporalConv(in_channels, out_channels, 1, stride)
