"""MS-G3D (Liu et al., CVPR 2020): clips (N, C, T, V, M) -> class scores.

Notation: B = N*M bodies, C channels, T frames, V joints, K scales, w frames in a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.ms_gcn import MultiScaleGraphConv
from model.ms_gtcn import SpatialTemporalGraphConv
from model.ms_tcn import TemporalRowsConv
from model.operators import Norm
from model.plain import PlainMultiWindow
from model.windows import Windows, rows_to_maps
from skeleton_lab.errors import UserError
from skeleton_lab.imports import construct
from skeleton_lab.nn.layers import bodies_to_batch
from skeleton_lab.nn.norm import Moments, folded, update_running
from skeleton_lab.nn.recompute import recomputed

WINDOWS = (3, 5)


@dataclass(frozen=True)
class Stage:
    """One of the three stages: its widths (the G3D pathways work inside at `embed_channels`) and its stride."""

    in_channels: int
    out_channels: int
    embed_channels: int
    stride: int


def stage_plan(in_channels: int) -> tuple[Stage, ...]:
    """Return the three stages. The first widens before it collapses its windows, the others after."""
    return Stage(in_channels, 96, 96, 1), Stage(96, 192, 96, 2), Stage(192, 384, 192, 2)


class MS_G3D(nn.Module):
    """One window size: graph convolution over windows, then their collapse into one frame each, and BatchNorm.

    (B, C_in, T, V) -> rows (T'*B*V, C_out), T' = ceil(T / stride).
    """

    def __init__(self, stage: Stage, adjacency: np.ndarray, num_scales: int, window: int) -> None:
        super().__init__()
        convolution = SpatialTemporalGraphConv(adjacency, Windows(window, stage.stride), num_scales,
                                               stage.in_channels, stage.embed_channels)
        self.gcn3d = nn.ModuleDict({"1": convolution})  # "0", the unfolding, has no parameters
        self.out_conv = nn.Conv3d(stage.embed_channels, stage.out_channels, (1, window, 1))
        self.out_bn = nn.BatchNorm2d(stage.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.out_conv.weight.flatten(2).transpose(1, 2).flatten(1)  # (C_out, w*C)
        bias, norm = self.out_conv.bias, self.out_bn
        if not norm.training:
            scale, shift = folded([norm])
            return self.gcn3d["1"].aggregate(x, weight * scale.unsqueeze(1), bias * scale + shift)
        rows = self.gcn3d["1"].aggregate(x, weight, bias)
        rows, *moments = Norm.apply(rows, norm.weight, norm.bias, norm.eps)
        update_running([norm], Moments(*moments), len(rows))
        return rows


class MultiWindowG3D(nn.Module):
    """The sum of the pathways of windows 3 and 5: (B, C_in, T, V) -> (B, C_out, T', V).

    Attributes:
        recompute: keep nothing inside the pathways for the backward pass, which runs them again.
    """

    def __init__(self, stage: Stage, adjacency: np.ndarray, num_scales: int) -> None:
        super().__init__()
        self.gcn3d = nn.ModuleList([MS_G3D(stage, adjacency, num_scales, window) for window in WINDOWS])
        self.recompute = False

    def forward(self, x: Tensor) -> Tensor:
        rows = [recomputed(pathway, x) if self.recompute else pathway(x) for pathway in self.gcn3d]
        return rows_to_maps(sum(rows), len(x), x.shape[3])

    def plain(self) -> nn.Module:
        """Return the sum in evaluation mode as standard operators, for export."""
        return PlainMultiWindow(self)


class Model(nn.Module):
    """MS-G3D: clips (N, C, T, V, M) float -> logits (N, num_class).

    Args:
        num_gcn_scales: K of the graph convolutions over joints.
        num_g3d_scales: K of the graph convolutions over windows.
        graph: dotted path of a graph class with `A_binary`, (V, V).

    Raises:
        UserError: the graph cannot be found, or does not have `num_point` joints.
    """

    capturable = True  # see `skeleton_lab.train.cuda_graph`

    def __init__(self, num_class: int, num_point: int, num_person: int, num_gcn_scales: int, num_g3d_scales: int,
                 graph: str, in_channels: int = 3) -> None:
        super().__init__()
        adjacency = graph_adjacency(graph, num_point)
        self_linked = adjacency + np.eye(num_point, dtype=adjacency.dtype)
        self.data_bn = nn.BatchNorm1d(num_person * num_point * in_channels)
        plan = stage_plan(in_channels)
        for number, stage in enumerate(plan, start=1):
            # The first graph convolution widens at once, the others leave that to the strided temporal convolution.
            spatial_channels = stage.out_channels if number == 1 else stage.in_channels
            self.add_module(f"gcn3d{number}", MultiWindowG3D(stage, self_linked, num_g3d_scales))
            self.add_module(f"sgcn{number}", nn.Sequential(
                MultiScaleGraphConv(adjacency, num_gcn_scales, stage.in_channels, spatial_channels),
                TemporalRowsConv(spatial_channels, stage.out_channels, stage.stride),
                TemporalRowsConv(stage.out_channels, stage.out_channels, activation=False)))
            self.add_module(f"tcn{number}", TemporalRowsConv(stage.out_channels, stage.out_channels))
        self.num_stages = len(plan)
        self.memory_friendly = False
        self.fc = nn.Linear(plan[-1].out_channels, num_class)

    def set_memory_friendly(self, enabled: bool) -> None:
        """Keep only the input of each pathway for the backward pass, which runs the pathways again. Same results."""
        self.memory_friendly = enabled
        for module in self.modules():
            if isinstance(module, MultiWindowG3D):
                module.recompute = enabled

    def forward(self, clips: Tensor) -> Tensor:
        return self.fc(self.features(clips))

    def features(self, clips: Tensor) -> Tensor:
        """Return what the classifier `fc` takes, (N, C): the mean over frames, joints and bodies."""
        run = recomputed if self.memory_friendly else _run
        num_clips = clips.shape[0]
        x = bodies_to_batch(clips, self.data_bn)  # (B, C, T, V)
        for number in range(1, self.num_stages + 1):
            spatial, unified = self.get_submodule(f"sgcn{number}"), self.get_submodule(f"gcn3d{number}")
            x = torch.relu_(run(spatial, x) + unified(x))
            x = run(self.get_submodule(f"tcn{number}"), x)
        return x.mean(dim=(2, 3)).view(num_clips, -1, x.shape[1]).mean(dim=1)  # (N, C)


def _run(block: nn.Module, x: Tensor) -> Tensor:
    return block(x)


def graph_adjacency(graph: str, num_point: int) -> np.ndarray:
    """Build the graph at a dotted path and return its `A_binary`, (V, V), without self-links."""
    adjacency = np.asarray(construct(graph, {}, "model_args.graph").A_binary)
    if adjacency.shape != (num_point, num_point):
        raise UserError(f"model_args: graph '{graph}' has {len(adjacency)} joints, num_point is {num_point}; give "
                        "num_point the number of joints of that graph")
    return adjacency
