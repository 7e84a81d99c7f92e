"""MS-G3D written out plainly from the paper's equations: the oracle of the tests and the other side of every ratio.

Liu et al., "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition", CVPR 2020. One
module per equation, every intermediate materialised, nothing recomputed, nothing folded. It shares no code with the
model of the tree (not even the adjacency powers), only the parameter names, so that one state dict fits both, and how
single precision rounds.

Not for training: `MS-G3D/model/msg3d.py` computes the same in a fraction of the memory and time.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.skeletons import inverse_roots


def disentangled_stack(adjacency: np.ndarray, num_scales: int) -> Tensor:
    """Return the normalised k-adjacencies of section 3.2, stacked along the rows: (K V, V) float32.

    A binary adjacency (V, V) without self-loops. Scale k links each joint to itself and to those exactly k hops away.
    The normalisation is in single precision: it is part of the model, in double precision too.
    """
    identity = np.eye(len(adjacency))
    reach = [np.minimum(np.linalg.matrix_power(adjacency + identity, k), 1) for k in range(num_scales)]
    scales = [identity] + [reach[k] - reach[k - 1] + identity for k in range(1, num_scales)]
    normalised = []
    for scale in scales:
        scale = scale.astype(np.float32)
        root = np.diag(inverse_roots(scale.sum(axis=1)))
        normalised.append(root @ scale @ root)
    return torch.from_numpy(np.concatenate(normalised))


class Mlp(nn.Module):
    """1x1 convolution, BatchNorm, and a ReLU if asked."""

    def __init__(self, in_channels: int, out_channels: int, activated: bool) -> None:
        super().__init__()
        layers = [nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels)]
        self.layers = nn.Sequential(*layers, *([nn.ReLU()] if activated else []))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MultiScaleAggregation(nn.Module):
    """Equation 4: x (N, C, T, V) -> act(BN(sum over k of W_k (A_k + A_res_k) x)), (N, C_out, T, V)."""

    def __init__(self, stack: Tensor, in_channels: int, out_channels: int, activated: bool) -> None:
        super().__init__()
        self.num_scales = len(stack) // stack.shape[1]
        self.register_buffer("A", stack, persistent=False)
        self.A_res = nn.Parameter(torch.empty_like(stack).uniform_(-1e-6, 1e-6))
        self.mlp = Mlp(self.num_scales * in_channels, out_channels, activated)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        support = torch.einsum("wu,nctu->nctw", self.A + self.A_res, x)  # (N, C, T, K V)
        support = support.view(n, c, t, self.num_scales, v).permute(0, 3, 1, 2, 4)  # (N, K, C, T, V)
        return self.mlp(support.reshape(n, self.num_scales * c, t, v))


class Windows(nn.Module):
    """Section 3.3: the sliding windows of a sequence, (N, C, T, V) -> (N, C, T', w V)."""

    def __init__(self, window: int, stride: int) -> None:
        super().__init__()
        self.window, self.stride = window, stride

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, v = x.shape
        pad = (self.window - 1) // 2
        unfolded = F.unfold(x, (self.window, 1), padding=(pad, 0), stride=(self.stride, 1))
        unfolded = unfolded.view(n, c, self.window, -1, v)  # (N, C, w, T', V)
        return unfolded.permute(0, 1, 3, 2, 4).reshape(n, c, -1, self.window * v)


class G3d(nn.Module):
    """One window size's pathway: windows, aggregation over the tiled graph, and the collapse of the window."""

    def __init__(self, adjacency: np.ndarray, num_scales: int, channels: tuple[int, int], window: int,
                 stride: int, embed: int) -> None:
        super().__init__()
        self.window = window
        tiled = np.tile(adjacency + np.eye(len(adjacency)), (window, window)) - np.eye(window * len(adjacency))
        stack = disentangled_stack(tiled, num_scales)
        self.gcn3d = nn.Sequential(Windows(window, stride),
                                   MultiScaleAggregation(stack, channels[0], embed, activated=False))
        self.out_conv = nn.Conv3d(embed, channels[1], (1, window, 1))
        self.out_bn = nn.BatchNorm2d(channels[1])

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.gcn3d(x))  # (N, C, T', w V)
        n, c, t, nodes = y.shape
        return self.out_bn(self.out_conv(y.view(n, c, t, self.window, nodes // self.window)).squeeze(3))


class MultiWindow(nn.Module):
    """The sum of the pathways of windows 3 and 5."""

    def __init__(self, adjacency: np.ndarray, num_scales: int, channels: tuple[int, int], stride: int,
                 embed: int) -> None:
        super().__init__()
        self.gcn3d = nn.ModuleList(G3d(adjacency, num_scales, channels, w, stride, embed) for w in (3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.gcn3d[0](x) + self.gcn3d[1](x)


class TemporalConv(nn.Module):
    """A (3, 1) convolution with dilation, and its BatchNorm."""

    def __init__(self, channels: int, dilation: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, (3, 1), (stride, 1), (dilation, 0), (dilation, 1))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Residual(nn.Module):
    """The projection of a block that changes the width or the length."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, (stride, 1))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class MsTcn(nn.Module):
    """Six temporal branches, concatenated, plus the residual: (N, C, T, V) -> (N, C_out, T / stride, V)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, activated: bool = True) -> None:
        super().__init__()
        width = out_channels // 6

        def entry(entry_stride: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(in_channels, width, 1, (entry_stride, 1)), nn.BatchNorm2d(width)]

        dilated = [nn.Sequential(*entry(), nn.ReLU(), TemporalConv(width, dilation, stride))
                   for dilation in (1, 2, 3, 4)]
        pooled = nn.Sequential(*entry(), nn.ReLU(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(width))
        self.branches = nn.ModuleList([*dilated, pooled, nn.Sequential(*entry(stride))])
        same = in_channels == out_channels and stride == 1
        self.residual = nn.Identity() if same else Residual(in_channels, out_channels, stride)
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([branch(x) for branch in self.branches], dim=1) + self.residual(x)
        return F.relu(y) if self.activated else y


class PlainMsg3d(nn.Module):
    """Figure 4: (N, C, T, V, M) -> (N, classes). `adjacency` is binary, symmetric, without self-loops."""

    def __init__(self, num_class: int, num_person: int, num_gcn_scales: int, num_g3d_scales: int,
                 adjacency: np.ndarray, in_channels: int = 3) -> None:
        super().__init__()
        v = len(adjacency)
        adjacency = np.asarray(adjacency, np.float64)
        self.data_bn = nn.BatchNorm1d(num_person * v * in_channels)
        stack = disentangled_stack(adjacency, num_gcn_scales)
        plan = [(in_channels, 96, 96, 1), (96, 192, 96, 2), (192, 384, 192, 2)]
        for stage, (cin, cout, embed, stride) in enumerate(plan, start=1):
            gcn_out = cout if stage == 1 else cin
            sgcn = nn.Sequential(MultiScaleAggregation(stack, cin, gcn_out, activated=True),
                                 MsTcn(gcn_out, cout, stride), MsTcn(cout, cout, activated=False))
            self.add_module(f"gcn3d{stage}", MultiWindow(adjacency, num_g3d_scales, (cin, cout), stride, embed))
            self.add_module(f"sgcn{stage}", sgcn)
            self.add_module(f"tcn{stage}", MsTcn(cout, cout))
        self.fc = nn.Linear(384, num_class)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v, m = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t)
        x = self.data_bn(x).view(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()  # (N M, C, T, V)
        for stage in (1, 2, 3):
            pathways = getattr(self, f"sgcn{stage}")(x) + getattr(self, f"gcn3d{stage}")(x)
            x = getattr(self, f"tcn{stage}")(F.relu(pathways))
        return self.fc(x.view(n, m, x.shape[1], -1).mean(3).mean(1))
