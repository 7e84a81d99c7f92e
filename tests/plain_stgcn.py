"""ST-GCN++ written as its papers' equations read, for comparison: slow, plain, with the tree's parameter names.

Axes are (N, C, T, V) throughout. Equations of a spatial unit: Yan et al., AAAI 2018, section 3; what is trained, the
shortcuts and the temporal branches: Duan et al., ACM MM 2022, on ST-GCN++.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tests.plain_ctrgcn import PlainMultiScaleTemporalConv, PlainTemporalConv

PLAN = [(64, 1)] * 4 + [(128, 2)] + [(128, 1)] * 2 + [(256, 2)] + [(256, 1)] * 2


class PlainSpatial(nn.Module):
    """ReLU(norm(sum of A_k (W_k x + b_k)) + x), the shortcut through a convolution and norm where channels change."""

    def __init__(self, in_channels: int, out_channels: int, topology: np.ndarray) -> None:
        super().__init__()
        self.topology = nn.Parameter(torch.tensor(topology))
        self.conv = nn.Conv2d(in_channels, len(topology) * out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)
        self.down: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        total = 0
        for topology, mixed in zip(self.topology, self.conv(x).chunk(len(self.topology), dim=1), strict=True):
            total = total + torch.einsum("uv,nctv->nctu", topology, mixed)
        return torch.relu(self.bn(total) + self.down(x))


class PlainTemporal(nn.Module):
    """ReLU(norm(W ReLU(norm of six branches)) + shortcut)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.branches = PlainMultiScaleTemporalConv(channels, channels, kernel_size=3, dilations=(1, 2, 3, 4),
                                                    stride=stride, residual=False, activation=True, uneven=True)
        self.mix = PlainTemporalConv(channels, channels, 1, 1)

    def forward(self, x: Tensor, shortcut: Tensor | float) -> Tensor:
        return torch.relu(self.mix(self.branches(x)) + shortcut)


class PlainBlock(nn.Module):
    """A spatial and a temporal unit, and a shortcut around both, which the first block does without."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, topology: np.ndarray, first: bool) -> None:
        super().__init__()
        self.gcn1 = PlainSpatial(in_channels, out_channels, topology)
        self.tcn1 = PlainTemporal(out_channels, stride)
        self.first = first
        self.residual: nn.Module = nn.Identity()
        if not first and (in_channels != out_channels or stride > 1):
            self.residual = PlainTemporalConv(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.tcn1(self.gcn1(x), 0.0 if self.first else self.residual(x))


class PlainSTGCN(nn.Module):
    """Clips (N, C, T, V, M) float64 -> logits (N, classes)."""

    def __init__(self, num_class: int, topology: np.ndarray, num_person: int = 2) -> None:
        super().__init__()
        self.data_bn = nn.BatchNorm1d(num_person * topology.shape[1] * 3)
        channels = 3
        for number, (out_channels, stride) in enumerate(PLAN, start=1):
            setattr(self, f"l{number}", PlainBlock(channels, out_channels, stride, topology, number == 1))
            channels = out_channels
        self.fc = nn.Linear(channels, num_class)
        self.double()

    def forward(self, clips: Tensor) -> Tensor:
        n, c, t, v, m = clips.shape
        normal = self.data_bn(clips.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t)).view(n, m, v, c, t)
        x = torch.stack([body.permute(1, 2, 0) for clip in normal for body in clip])  # (N*M, C, T, V)
        for number in range(1, len(PLAN) + 1):
            x = getattr(self, f"l{number}")(x)
        return self.fc(x.mean(dim=(2, 3)).view(n, m, -1).mean(dim=1))
