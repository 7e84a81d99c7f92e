"""CTR-GCN written straight from the paper's equations: the oracle of the tests, the plain side of every ratio.

One module per layer, one call per equation, nothing fused and nothing recomputed. Keys, shapes and registration order
are those of the published checkpoints, so `load_state_dict` moves weights between this model and the lab's.
Initialisation is left to the framework, except that `PA` starts at the adjacency.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

PLAN = ((64, 1), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))


class PlainSubset(nn.Module):
    """y[b,c,t,u] = sum_v Q[b,c,u,v] f(x)[b,c,t,v], Q = alpha * xi(tanh(p_u - q_v)) + A."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        relations = 8 if in_channels in (3, 9) else in_channels // 8
        self.conv1 = nn.Conv2d(in_channels, relations, 1)
        self.conv2 = nn.Conv2d(in_channels, relations, 1)
        self.conv3 = nn.Conv2d(in_channels, out_channels, 1)
        self.conv4 = nn.Conv2d(relations, out_channels, 1)

    def forward(self, x: Tensor, adjacency: Tensor, alpha: Tensor) -> Tensor:
        p = self.conv1(x).mean(2)  # (B, R, V)
        q = self.conv2(x).mean(2)  # (B, R, V)
        relations = torch.tanh(p[..., :, None] - q[..., None, :])  # (B, R, V, V)
        topology = self.conv4(relations) * alpha + adjacency  # (B, C_out, V, V)
        return torch.einsum("bcuv,bctv->bctu", topology, self.conv3(x))


class PlainSpatial(nn.Module):
    """ReLU(BN(sum of three subsets) + down(x))."""

    def __init__(self, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        super().__init__()
        self.PA = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList([PlainSubset(in_channels, out_channels) for _ in range(3)])
        if in_channels == out_channels:
            self.down = nn.Identity()
        else:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs[0](x, self.PA[0], self.alpha)
        y = y + self.convs[1](x, self.PA[1], self.alpha)
        y = y + self.convs[2](x, self.PA[2], self.alpha)
        return self.relu(self.bn(y) + self.down(x))


class PlainTemporalConv(nn.Module):
    """BN(conv (k, 1))."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, (kernel_size, 1), (stride, 1),
                              (dilation * (kernel_size - 1) // 2, 0), (dilation, 1))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class PlainMultiScaleTemporalConv(nn.Module):
    """Branches side by side; the options are those of `skeleton_lab.nn.layers.MultiScaleTemporalConv`."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, dilations: tuple[int, ...],
                 stride: int = 1, residual: bool, activation: bool, uneven: bool = False) -> None:
        super().__init__()
        width, left = divmod(out_channels, len(dilations) + 2)
        assert uneven or not left

        def head(width: int) -> list[nn.Module]:
            return [nn.Conv2d(in_channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]

        widths = [width + left] + [width] * (len(dilations) - 1)
        branches = [nn.Sequential(*head(own), PlainTemporalConv(own, own, kernel_size, stride, dilation))
                    for own, dilation in zip(widths, dilations, strict=True)]
        branches.append(nn.Sequential(*head(width), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(width)))
        branches.append(nn.Sequential(nn.Conv2d(in_channels, width, 1, (stride, 1)), nn.BatchNorm2d(width)))
        self.branches = nn.ModuleList(branches)
        if residual:
            same = in_channels == out_channels and stride == 1
            self.residual = nn.Identity() if same else PlainTemporalConv(in_channels, out_channels, 1, stride)
        self.has_residual = residual
        self.act = nn.ReLU(inplace=True) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = torch.cat([branch(x) for branch in self.branches], dim=1)
        return self.act(out + self.residual(x) if self.has_residual else out)


class PlainBlock(nn.Module):
    """ReLU(temporal(spatial(x)) + residual(x))."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, adjacency: Tensor, residual: bool) -> None:
        super().__init__()
        self.gcn1 = PlainSpatial(in_channels, out_channels, adjacency)
        self.tcn1 = PlainMultiScaleTemporalConv(out_channels, out_channels, kernel_size=5, dilations=(1, 2),
                                                stride=stride, residual=False, activation=False)
        self.relu = nn.ReLU(inplace=True)
        self.has_residual = residual
        if residual and (in_channels != out_channels or stride != 1):
            self.residual = PlainTemporalConv(in_channels, out_channels, 1, stride)
        else:
            self.residual = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn1(self.gcn1(x))
        return self.relu(y + self.residual(x) if self.has_residual else y)


class PlainCTRGCN(nn.Module):
    """Clips (N, C, T, V, M) -> logits (N, num_class)."""

    def __init__(self, adjacency: np.ndarray, num_class: int = 60, num_person: int = 2, in_channels: int = 3) -> None:
        super().__init__()
        shared = torch.from_numpy(adjacency.astype(np.float32))  # (3, V, V)
        self.data_bn = nn.BatchNorm1d(num_person * in_channels * shared.shape[-1])
        channels = in_channels
        for number, (out_channels, stride) in enumerate(PLAN, start=1):
            setattr(self, f"l{number}", PlainBlock(channels, out_channels, stride, shared, number > 1))
            channels = out_channels
        self.fc = nn.Linear(channels, num_class)

    def forward(self, clips: Tensor) -> Tensor:
        n, c, t, v, m = clips.shape
        x = clips.permute(0, 4, 3, 1, 2).contiguous().view(n, m * v * c, t)  # (N, M*V*C, T)
        x = self.data_bn(x).view(n, m, v, c, t).permute(0, 1, 3, 4, 2).contiguous().view(n * m, c, t, v)
        for number in range(1, len(PLAN) + 1):
            x = getattr(self, f"l{number}")(x)
        x = x.view(n, m, x.shape[1], -1).mean(3).mean(1)  # (N, C)
        return self.fc(x)
