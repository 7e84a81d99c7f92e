"""MS-G3D as its paper writes it: Liu et al., "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action
Recognition", CVPR 2020. A line for an equation, numbered as there; nothing fused, nothing recomputed.

`model/msg3d.py` computes the same, from the same parameters, in a fraction of the time and memory. This form is what it
is tested against and timed beside, and what is exported. `--model model.reference.Model` trains it.

Axes: B = N*M bodies, C channels, T frames, V joints, K scales, w frames in a window around every s-th frame, T' =
ceil(T / s). The nodes of a window are w*V: node tau*V + v is joint v in frame tau.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.errors import UserError
from skeleton_lab.imports import construct
from skeleton_lab.nn import reference
from skeleton_lab.nn.absent import each_body
from skeleton_lab.nn.layers import bodies_to_batch
from skeleton_lab.nn.recompute import recomputed
from skeleton_lab.nn.reference import every_stride
from skeleton_lab.skeletons import hop_distance, normalize_symmetric

WINDOWS = (3, 5)
KERNEL_SIZE = 3
DILATIONS = (1, 2, 3, 4)
NUM_BRANCHES = len(DILATIONS) + 2  # a max-pool and a 1x1 convolution besides
# Every trained residual adjacency starts in U(-A_RES_BOUND, A_RES_BOUND): next to nothing, but not the same.
A_RES_BOUND = 1e-6


@dataclass(frozen=True)
class Stage:
    """One of the three stages: its widths (the G3D pathways work inside at `embed_channels`) and its stride."""

    in_channels: int
    out_channels: int
    embed_channels: int
    stride: int


def stage_plan(in_channels: int, width: int) -> tuple[Stage, ...]:
    """Return the three stages. The first widens before it collapses its windows, the others after."""
    return (Stage(in_channels, width, width, 1), Stage(width, 2 * width, width, 2),
            Stage(2 * width, 4 * width, 2 * width, 2))


def disentangled_scales(adjacency: np.ndarray, num_scales: int) -> Tensor:
    """Return (K*V, V) float32, one normalised k-adjacency below the other, of a binary adjacency (V, V).

    (3): A~_(k) links each node to itself and to those exactly k hops away; normalised D~^-1/2 A~_(k) D~^-1/2.
    Computed in single precision, as the published models were trained: in double precision the model holds these
    values, not better ones.
    """
    distance, itself = hop_distance(adjacency), np.eye(len(adjacency), dtype=bool)
    scales = [normalize_symmetric(((distance == k) | itself).astype(np.float32)) for k in range(num_scales)]
    return torch.from_numpy(np.concatenate(scales))


def window_adjacency(adjacency: np.ndarray, window: int) -> np.ndarray:
    """Return (w*V, w*V), of section 3.3: each joint linked to itself and its neighbours in every frame of the window.

    `adjacency` is (V, V), binary, with self-links.
    """
    return np.tile(adjacency, (window, window))


def sliding_windows(x: Tensor, size: int, stride: int) -> Tensor:
    """Return the windows of x (B, C, T, V), zeros beyond its ends: (B, C, T', w*V) (section 3.3)."""
    if size == 1:
        return every_stride(x, stride)
    frames, pad = x.shape[2], size // 2
    padded = F.pad(x, (0, 0, pad, pad))
    return torch.cat([every_stride(padded[:, :, tau:tau + frames], stride) for tau in range(size)], dim=3)


class MLP(nn.Module):
    """The parameters of a 1x1 convolution over K*C_in channels and its batch norm; `ScaleAggregation` applies them."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))


class ScaleAggregation(nn.Module):
    """relu(batch norm(sum over the scales k of (A_k + A_res_k) X W_k)): (B, C_in, T, V) -> (B, C_out, T', w*V).

    Of the joints of single frames (w = s = 1; section 3.2, with A_res) or of the nodes of windows (section 3.3).

    Args:
        adjacency: (w*V, w*V) binary. window: w and s. num_scales: K.
    """

    def __init__(self, adjacency: np.ndarray, window: tuple[int, int], num_scales: int, in_channels: int,
                 out_channels: int) -> None:
        super().__init__()
        self.window, self.num_scales = window, num_scales
        scales = disentangled_scales(adjacency, num_scales)
        self.register_buffer("A_powers", scales, persistent=False)  # (K*w*V, w*V)
        self.A_res = nn.Parameter(torch.empty_like(scales).uniform_(-A_RES_BOUND, A_RES_BOUND))
        self.mlp = MLP(num_scales * in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        topologies = (self.A_powers + self.A_res).t().chunk(self.num_scales, dim=1)  # K times (source, target)
        conv, norm = self.mlp.layers
        # Sums over nodes and over channels commute: the one that leaves the narrower tensor goes first.
        if x.shape[1] < conv.out_channels:
            nodes = sliding_windows(x, *self.window)  # (B, C_in, T', w*V)
            y = conv(torch.cat([nodes @ topology for topology in topologies], dim=1))  # of (B, K*C_in, T', w*V)
        else:
            weights = conv.weight.chunk(self.num_scales, dim=1)  # W_k, (C_out, C_in, 1, 1)
            first, *others = (sliding_windows(F.conv2d(x, weight), *self.window) @ topology
                              for weight, topology in zip(weights, topologies, strict=True))
            y = sum(others, first + conv.bias.view(-1, 1, 1))
        return torch.relu(norm(y))  # (B, C_out, T', w*V)


class Pathway(nn.Module):
    """One window size of MS-G3D (section 3.3): graph convolution over windows, their collapse to a frame, batch norm.

    (B, C_in, T, V) -> (B, C_out, T', V).
    """

    aggregation_unit: ClassVar[type[ScaleAggregation]] = ScaleAggregation

    def __init__(self, stage: Stage, adjacency: np.ndarray, num_scales: int, window: int) -> None:
        super().__init__()
        self.size = window
        aggregation = self.aggregation_unit(window_adjacency(adjacency, window), (window, stage.stride), num_scales,
                                            stage.in_channels, stage.embed_channels)
        self.gcn3d = nn.ModuleDict({"1": aggregation})  # "0", the unfolding, has no parameters
        self.out_conv = nn.Conv3d(stage.embed_channels, stage.out_channels, (1, window, 1))
        self.out_bn = nn.BatchNorm2d(stage.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        nodes = self.gcn3d["1"](x).unflatten(3, (self.size, -1))  # (B, C, T', w, V)
        return self.out_bn(self.out_conv(nodes).squeeze(3))


class MultiWindow(nn.Module):
    """The sum of the pathways of windows 3 and 5: (B, C_in, T, V) -> (B, C_out, T', V).

    Attributes:
        recompute: keep nothing inside the pathways for the backward pass, which runs them again.
    """

    pathway_unit: ClassVar[type[Pathway]] = Pathway

    def __init__(self, stage: Stage, adjacency: np.ndarray, num_scales: int) -> None:
        super().__init__()
        self.gcn3d = nn.ModuleList([self.pathway_unit(stage, adjacency, num_scales, window) for window in WINDOWS])
        self.recompute = False

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (recomputed(pathway, x) if self.recompute else pathway(x) for pathway in self.gcn3d)
        return sum(others, first)


class TemporalUnit(reference.MultiScaleTemporalConv):
    """MS-TCN (section 3.4): six branches and a residual, (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, *, activation: bool = True) -> None:
        super().__init__(in_channels, out_channels, kernel_size=KERNEL_SIZE, dilations=DILATIONS, stride=stride,
                         residual=True, activation=activation)


class Model(nn.Module):
    """MS-G3D (figure 4): clips (N, C, T, V, M) float -> logits (N, num_class).

    Args:
        num_gcn_scales: K of the graph convolutions over joints.
        num_g3d_scales: K of the graph convolutions over windows.
        graph: dotted path of a graph class with `A_binary`, (V, V).
        base_channels: of the first stage, a multiple of its six temporal branches; each further one has twice as many.

    Raises:
        UserError: the graph cannot be found, or does not have `num_point` joints; no such width.
    """

    capturable = True  # see `skeleton_lab.train.cuda_graph`
    aggregation_unit: ClassVar[type[ScaleAggregation]] = ScaleAggregation
    windows_unit: ClassVar[type[MultiWindow]] = MultiWindow
    temporal_unit: ClassVar[type[reference.MultiScaleTemporalConv]] = TemporalUnit
    fused: ClassVar[bool] = False  # the fast form

    def __init__(self, num_class: int, num_point: int, num_person: int, num_gcn_scales: int, num_g3d_scales: int,
                 graph: str, in_channels: int = 3, base_channels: int = 96) -> None:
        super().__init__()
        if type(base_channels) is not int or base_channels < 1 or base_channels % NUM_BRANCHES:
            raise UserError(f"model_args: base_channels={base_channels!r:.80} is no multiple of {NUM_BRANCHES}; give "
                            "one, such as 96")
        adjacency = graph_adjacency(graph, num_point)
        self_linked = adjacency + np.eye(num_point, dtype=adjacency.dtype)
        self.data_bn = nn.BatchNorm1d(num_person * num_point * in_channels)
        plan = stage_plan(in_channels, base_channels)
        for number, stage in enumerate(plan, start=1):
            # The first graph convolution widens at once, the others leave that to the strided temporal convolution.
            spatial_channels = stage.out_channels if number == 1 else stage.in_channels
            self.add_module(f"gcn3d{number}", self.windows_unit(stage, self_linked, num_g3d_scales))
            self.add_module(f"sgcn{number}", nn.Sequential(
                self.aggregation_unit(adjacency, (1, 1), num_gcn_scales, stage.in_channels, spatial_channels),
                self.temporal_unit(spatial_channels, stage.out_channels, stage.stride),
                self.temporal_unit(stage.out_channels, stage.out_channels, activation=False)))
            self.add_module(f"tcn{number}", self.temporal_unit(stage.out_channels, stage.out_channels))
        self.num_stages = len(plan)
        self.memory_friendly = False
        self.fc = nn.Linear(plan[-1].out_channels, num_class)

    def set_memory_friendly(self, enabled: bool) -> None:
        """Keep only the input of each pathway for the backward pass, which runs the pathways again. Same results."""
        self.memory_friendly = enabled
        for module in self.modules():
            if isinstance(module, MultiWindow):
                module.recompute = enabled

    def forward(self, clips: Tensor) -> Tensor:
        return self.fc(self.features(clips))

    def features(self, clips: Tensor) -> Tensor:
        """Return what the classifier `fc` takes, (N, C): the mean over frames, joints and bodies."""
        x = bodies_to_batch(clips, self.data_bn)  # (B, C, T, V)
        means = each_body(self, clips, x, self._body_means) if self.fused else self._body_means(x)
        return means.view(clips.shape[0], -1, means.shape[1]).mean(dim=1)

    def _body_means(self, x: Tensor) -> Tensor:
        """Take bodies (B, C_in, T, V) through the stages; return their means over frames and joints, (B, C)."""
        run = recomputed if self.memory_friendly else _run
        for number in range(1, self.num_stages + 1):
            spatial, unified = self.get_submodule(f"sgcn{number}"), self.get_submodule(f"gcn3d{number}")
            x = torch.relu(run(spatial, x) + unified(x))
            x = run(self.get_submodule(f"tcn{number}"), x)
        return x.mean(dim=(2, 3))


def _run(block: nn.Module, x: Tensor) -> Tensor:
    return block(x)


def graph_adjacency(graph: str, num_point: int) -> np.ndarray:
    """Build the graph at a dotted path and return its `A_binary`, (V, V), without self-links."""
    adjacency = np.asarray(construct(graph, {}, "model_args.graph").A_binary)
    if adjacency.shape != (num_point, num_point):
        raise UserError(f"model_args: graph '{graph}' has {len(adjacency)} joints, num_point is {num_point}; give "
                        "num_point the number of joints of that graph")
    return adjacency
