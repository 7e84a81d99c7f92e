"""FreqMixFormer as its paper describes it, a line for an equation; nothing fused, nothing recomputed.

Wu et al., "Frequency Guidance Matters: Skeletal Action Recognition by Frequency-Aware Mixed Transformer", ACM MM 2024.
Its units mix joints by attention between queries and keys that are means over time, and between the same after a cosine
transform over the joints ("frequency"); then frames, by convolutions, by attention and by a gate.

This form trains, as `model.freqmixformer.Model`, and is what is exported.

Axes: N clips, M bodies, B = N*M, C channels, K = 3 subsets, J = 4 quarters of the channels, T frames, V and W joints;
graphs lead from joints v to w and are indexed [v, w].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from skeleton_lab.imports import construct
from skeleton_lab.nn.blocks import block_plan, shortcut
from skeleton_lab.nn.layers import init_he_fan_out
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.recompute import recomputed
from skeleton_lab.nn.reference import POOL_FRAMES, PointwiseConvNorm, TemporalConv

SUBSETS, QUARTERS, CLASSES = 3, 4, 8
EMBEDDING = 80
PLAN = ((80, 1), (80, 1), (80, 1), (80, 1), (160, 2), (160, 1), (160, 1), (320, 2), (320, 1), (320, 1))
FRAMES_DIVISOR = math.prod(stride for _, stride in PLAN)
CHANNELS_DIVISOR = 40  # runs of the spatial unit times branches of the temporal one
BRANCHES = 5
HIGH_FROM = 13  # of 25 frequencies, and of 20 all the same
LOW_WEIGHT, HIGH_WEIGHT = 0.5, 1.5


def cosine_transform(joints: int) -> tuple[Tensor, Tensor]:
    """Return the cosine transform over joints (DCT-II, not normalised) and its inverse, each (V, V) float64."""
    rows = torch.arange(joints, dtype=torch.float64)
    cosines = torch.cos(math.pi * rows[:, None] * (2 * rows + 1) / (2 * joints))  # [frequency, joint]
    inverse = cosines.t() / joints
    inverse[:, 0] /= 2
    return 2 * cosines, inverse


def frozen(module: nn.Module) -> nn.Module:
    """Return a module that published weights hold and nothing uses, so that nothing trains it."""
    return module.requires_grad_(False)


class FrequencyAttention(nn.Module):
    """Maps between a clip's joints, by the means of the channels: (B, K, 8, V) -> (B, K, J, V, W).

    Of the eight runs of channels, each quarter has a query and a key.
    """

    transform: Tensor
    inverse: Tensor
    column_weights: Tensor

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.bn = frozen(nn.BatchNorm2d(channels // QUARTERS))
        self.linear = nn.Linear(joints, joints)
        transform, inverse = cosine_transform(joints)
        column_weights = torch.full((joints,), LOW_WEIGHT, dtype=transform.dtype)
        column_weights[HIGH_FROM:] = HIGH_WEIGHT
        for name, constant in (("transform", transform), ("inverse", inverse), ("column_weights", column_weights)):
            self.register_buffer(name, constant, persistent=False)

    def forward(self, pooled: Tensor, between: nn.Linear) -> Tensor:
        """`between` is the unit's own layer, for the maps between a quarter and the next."""
        pooled = pooled.to(torch.promote_types(pooled.dtype, torch.float32))  # scores reach tens
        transform, inverse, columns = (constant.to(pooled.dtype)
                                       for constant in (self.transform, self.inverse, self.column_weights))
        queries, keys = pooled[:, :, 0::2], pooled[:, :, 1::2]  # (B, K, J, V)
        with without_autocast(pooled):
            spatial = self._mixed(queries, keys, between)
            mixed = self._mixed(queries @ transform.t(), keys @ transform.t(), between, columns)
            return spatial + mixed @ inverse.t()

    def _mixed(self, queries: Tensor, keys: Tensor, between: nn.Linear, columns: Tensor | float = 1.0) -> Tensor:
        """M_j = S_j / 2 + (X_{j-1} + X_j) / 4: within quarters, and between neighbouring ones."""
        own = softmax_map(F.relu(self.linear(queries)), F.relu(self.linear(keys)))  # S, (B, K, J, V, W)
        cross = columns * softmax_map(F.relu(between(keys[:, :, :-1])), F.relu(between(queries[:, :, 1:])))  # X
        before, after = F.pad(cross, (0, 0, 0, 0, 1, 0)), F.pad(cross, (0, 0, 0, 0, 0, 1))
        return own / 2 + (before + after) / 4


def softmax_map(left: Tensor, right: Tensor) -> Tensor:
    """Return softmax over w of left[v] * right[w], (..., V, W)."""
    return torch.softmax(left.unsqueeze(-1) * right.unsqueeze(-2), dim=-1)


class SpatialUnit(nn.Module):
    """relu(batch norm(gate(sum over subsets of (W_k x) G_k)) + shortcut): (B, C_in, T, V) -> (B, C_out, T, V).

    Args:
        adjacency: (K, V, V), what the learned part of the graphs starts as, and is added to.
    """

    A: Tensor

    def __init__(self, in_channels: int, out_channels: int, adjacency: np.ndarray) -> None:
        super().__init__()
        joints = adjacency.shape[-1]
        fixed = torch.from_numpy(adjacency.astype(np.float32))
        self.register_buffer("A", fixed, persistent=False)
        self.alpha = nn.Parameter(torch.ones(1), requires_grad=False)  # unused, as `fc` is
        self.A_GEME = nn.Parameter(fixed.unsqueeze(1).repeat(1, CLASSES, 1, 1))  # (K, 8, V, W)
        self.linear = nn.Linear(joints, joints)
        self.Spa_Att = FrequencyAttention(out_channels, joints)
        self.ChaRef_conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.conv = nn.Conv2d(in_channels, SUBSETS * out_channels, 1)
        self.down = shortcut(in_channels, out_channels)
        self.fc = frozen(nn.Linear(2 * joints, joints))
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / joints))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.conv(x).unflatten(1, (SUBSETS, -1))  # (B, K, C, T, V)
        pooled = mixed.unflatten(2, (2 * QUARTERS, -1)).mean(dim=(3, 4))  # (B, K, 8, V)
        maps = self.Spa_Att(pooled, self.linear)  # (B, K, J, V, W)
        by_quarter = mixed.unflatten(2, (QUARTERS, -1)) @ maps.unsqueeze(3)  # (B, K, J, C/J, T, W)
        by_class = mixed.unflatten(2, (-1, CLASSES)) @ self.graphs()  # (B, K, C/8, 8, T, W)
        y = 0.5 * by_quarter.sum(dim=1).flatten(1, 2) + by_class.sum(dim=1).flatten(1, 2)  # (B, C, T, W)
        gate = self.ChaRef_conv(y.mean(dim=(2, 3)).unsqueeze(1)).squeeze(1)  # (B, C), along the channels
        y = y * (1 + torch.sigmoid(gate))[:, :, None, None]
        return torch.relu(self.bn(y) + self.down(x))

    def graphs(self) -> Tensor:
        """Return the graphs that all clips share, (K, 1, 8, V, W): the second axis is for channels of one class."""
        return (self.A.unsqueeze(1) + self.A_GEME).unsqueeze(1)


class FrameAttention(nn.Module):
    """Attention between frames, by sigmoids, and batch norm: (B, C_in, T, V) -> (B, C_out, F, V), F output frames."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, (stride, 1))
        self.bn = nn.BatchNorm2d(out_channels)
        self.linear = nn.Linear(frames, frames)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x)  # (B, C_out, F, V)
        first, last = z.chunk(2, dim=1)
        queries, keys = (F.relu(self.linear(vector)) for vector in (first.mean(dim=(1, 3)), largest(last)))  # (B, F)
        weights = torch.sigmoid(queries.unsqueeze(2) * keys.unsqueeze(1))  # from frame t to u
        return self.bn(weights.transpose(1, 2).unsqueeze(1) @ z)


class FrameGate(nn.Module):
    """Frames, weighted by a sigmoid of their mean and their maximum: (B, C_in, T, V) -> (B, C_out, F, V)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, (stride, 1))
        self.bn = frozen(nn.BatchNorm2d(out_channels))
        self.combine_conv = nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x)
        both = torch.stack([z.mean(dim=(1, 3)), largest(z)], dim=1)  # (B, 2, F)
        return z * torch.sigmoid(self.combine_conv(both.unsqueeze(3)))


def largest(z: Tensor) -> Tensor:
    """Return the maximum of each frame of (B, C, T, V) over channels and joints, (B, T)."""
    return z.transpose(1, 2).flatten(2).max(dim=2).values


class TemporalUnit(nn.Module):
    """Five branches side by side: (B, C, T, V) -> (B, C, F, V), F = ceil(T / stride)."""

    def __init__(self, channels: int, stride: int, frames: int) -> None:
        super().__init__()
        width = channels // BRANCHES

        def branch(*tail: nn.Module) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(), *tail)

        self.branches = nn.ModuleList([
            branch(TemporalConv(width, width, 5, stride, 1)), branch(TemporalConv(width, width, 5, stride, 2)),
            branch(nn.MaxPool2d((POOL_FRAMES, 1), (stride, 1), (POOL_FRAMES // 2, 0)), nn.BatchNorm2d(width)),
            nn.Sequential(FrameAttention(channels, width, stride, frames), nn.BatchNorm2d(width)),
            nn.Sequential(FrameGate(channels, width, stride), nn.BatchNorm2d(width))])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Block(nn.Module):
    """relu(temporal unit(spatial unit) + residual): (B, C_in, T, V) -> (B, C_out, F, V); F: frames that come out."""

    def __init__(self, spa_mixf: nn.Module, tem_mixf: nn.Module, residual: nn.Module | None) -> None:
        super().__init__()
        self.spa_mixf, self.tem_mixf = spa_mixf, tem_mixf
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        x = x.view_as(x)  # all gradients of a block's input are summed here: in one order, recomputed or not
        out = self.tem_mixf(self.spa_mixf(x))
        return torch.relu(out if self.residual is None else out + self.residual(x))


class Model(nn.Module):
    """FreqMixFormer: clips (N, C, T, V, M) float -> logits (N, num_class).

    Args:
        graph: dotted path of a class with `A` (3, V, V) and `H` (V, V). graph_args: its keyword arguments.
        num_frame: T, a multiple of 4: each block has weights of its own for every frame.
        hop: what the model sees of each joint: its difference to the joint (of NW-UCLA, the joints) so many edges away.
            8 of NTU RGB+D: the joints themselves; 1: bones.
        blocks: [channels, stride over time] of each block, two of them with a stride of 2; None: the published ten.

    Raises:
        UserError: no graph, one that does not have `num_point` joints, or a number of frames or hops, or blocks, that
            do not fit.
    """

    block: ClassVar[type[Block]] = Block
    spatial_unit: ClassVar[type[SpatialUnit]] = SpatialUnit
    temporal_unit: ClassVar[type[TemporalUnit]] = TemporalUnit
    residual_unit: ClassVar[Callable[[int, int, int], nn.Module]] = PointwiseConvNorm
    capturable = True  # see `train.cuda_graph`
    away: Tensor

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
                 graph_args: Mapping[str, Any] | None = None, in_channels: int = 3, num_frame: int = 64,
                 hop: int = 8, blocks: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__()
        _check_sizes(num_frame, hop)
        self.plan = _plan(blocks)
        skeleton = _graph(graph, graph_args, num_point)
        self.shape = (in_channels, num_frame, num_point, num_person)
        self.memory_friendly = False
        away = np.eye(num_point) - np.linalg.matrix_power(skeleton.H, hop)
        self.register_buffer("away", torch.from_numpy(away.astype(np.float32)), persistent=False)  # P, (V, V)
        self.pos_embedding = nn.Parameter(torch.randn(1, num_point, EMBEDDING))
        self.data_bn = nn.BatchNorm1d(num_person * num_point * EMBEDDING)
        self.to_joint_embedding = nn.Linear(in_channels, EMBEDDING)
        channels, frames, earlier = EMBEDDING, num_frame, []
        for number, (out_channels, stride) in enumerate(self.plan, start=1):
            if stride > 1:
                earlier.append(channels)
            frames //= stride
            same = channels == out_channels and stride == 1
            residual = None if number == 1 else nn.Identity() if same else self.residual_unit(
                channels, out_channels, stride)
            setattr(self, f"l{number}", self.block(self.spatial_unit(channels, out_channels, skeleton.A),
                                                   self.temporal_unit(out_channels, stride, frames), residual))
            channels = out_channels
        self.fc = nn.Linear(channels, num_class)
        self.first_tram, self.second_tram = (
            nn.Sequential(nn.AvgPool2d((pool, 1)), nn.Conv2d(width, channels, 1), nn.BatchNorm2d(channels), nn.ReLU())
            for pool, width in zip((FRAMES_DIVISOR, FRAMES_DIVISOR // 2), earlier, strict=True))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_he_fan_out(module)
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / num_class))

    def forward(self, clips: Tensor) -> Tensor:
        return self.fc(self.features(clips))

    def features(self, clips: Tensor) -> Tensor:
        """Return what the classifier `fc` takes, (N, C): the mean over frames, joints and bodies."""
        self._check(clips)
        x = self.embed(clips)
        earlier = []  # what comes before frames are halved, as published the outputs of l4 and l7
        for number, (_, stride) in enumerate(self.plan, start=1):
            if stride > 1:
                earlier.append(x)
            block = getattr(self, f"l{number}")
            x = recomputed(block, x) if self.memory_friendly else block(x)
        return self.pooled(x, *earlier).unflatten(0, (-1, clips.shape[4])).mean(dim=1)

    def pooled(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return the mean over frames and joints of x (B, C, T, V) and of the heads of earlier outputs."""
        return (x + self.first_tram(first) + self.second_tram(second)).mean(dim=(2, 3))

    def embed(self, clips: Tensor) -> Tensor:
        """Take away what is `hop` edges away, embed, and normalise every (body, joint, channel): (B, C, T, V)."""
        n, _, t, v, m = clips.shape
        seen = torch.einsum("vu,nctum->nmtvc", self.away.to(clips.dtype), clips)
        embedded = self.to_joint_embedding(seen) + self.pos_embedding  # (N, M, T, V, C)
        features = embedded.permute(0, 1, 3, 4, 2).reshape(n, -1, t)  # (N, M*V*C, T)
        return self.data_bn(features).view(n * m, v, -1, t).permute(0, 2, 3, 1)

    def set_memory_friendly(self, on: bool) -> None:
        """Whether training keeps only the input of each block and computes the block again for its gradients."""
        self.memory_friendly = on

    def _check(self, clips: Tensor) -> None:
        if tuple(clips.shape[1:]) != self.shape:
            expected = " coordinates, {} frames, {} joints and {} bodies".format(*self.shape[1:])
            raise UserError(f"clips (N, C, T, V, M) of shape {tuple(clips.shape)} do not fit a model of {self.shape[0]}"
                            f"{expected}; check window_size, and in_channels, num_frame, num_point and num_person")


def _check_sizes(num_frame: int, hop: int) -> None:
    if not isinstance(num_frame, int) or num_frame < FRAMES_DIVISOR or num_frame % FRAMES_DIVISOR:
        raise UserError(f"model_args: num_frame={num_frame!r} is no multiple of {FRAMES_DIVISOR}; give the feeder's "
                        "window_size, 64 or 52 as published")
    if not isinstance(hop, int) or hop < 1:
        raise UserError(f"model_args: hop={hop!r} is no number of edges; give 1 or more: 8, 1 or 2 as published")


def _plan(blocks: Sequence[Sequence[int]] | None) -> Sequence[tuple[int, int]]:
    """Return channels and strides of the blocks."""
    if blocks is None:
        return PLAN
    plan = block_plan(blocks)
    if sorted(stride for _, stride in plan if stride > 1) != [2, 2] or any(c % CHANNELS_DIVISOR for c, _ in plan):
        raise UserError(f"model_args: blocks={str(blocks)[:80]}: channels are multiples of {CHANNELS_DIVISOR}, and two "
                        "blocks have a stride of 2; give such ones, such as [[80, 1], [160, 2], [320, 2]]")
    return plan


def _graph(graph: str | None, graph_args: Mapping[str, Any] | None, num_point: int) -> Any:
    """Return the graph at a dotted path."""
    if graph is None:
        raise UserError("model_args: 'graph' is missing; name a graph class, such as graph.ntu_rgb_d.Graph")
    built = construct(graph, graph_args or {}, "model_args.graph_args")
    if len(built.H) != num_point:
        raise UserError(f"model_args: graph '{graph}' has {len(built.H)} joints, num_point is {num_point}; give "
                        "num_point the number of joints of that graph")
    return built
