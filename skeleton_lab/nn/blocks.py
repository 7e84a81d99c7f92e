"""The frame that ST-GCN and the models after it share: the plan of blocks, ten as a rule, the stem and the head.

Attribute names (`l1` ... `l10`, `gcn1`, `tcn1`, `residual`, `data_bn`, `fc`) are those of published
checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.errors import UserError
from skeleton_lab.imports import construct
from skeleton_lab.nn import reference
from skeleton_lab.nn.absent import each_body
from skeleton_lab.nn.layers import PointwiseConvNorm, bodies_to_batch, init_batch_norm, init_he_fan_out
from skeleton_lab.nn.pointwise import body_chunks
from skeleton_lab.nn.recompute import recomputed

# (output channels, stride over time) of l1 ... l10, the usual plan
PLAN = ((64, 1), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))
NUM_SUBSETS = 3
EVALUATION_BYTES = 4 * 1024**2  # of what a block computes at a time: the processor's last cache holds some of them


@dataclass(frozen=True)
class ClipShape:
    """What a model is built for: C coordinates, V joints, M bodies, and the number of classes.

    same_moments: the first batch norm takes all bodies together, whatever their number, in place of each by itself.
    """

    in_channels: int
    num_point: int
    num_person: int
    num_class: int
    same_moments: bool = False


def graph_adjacency(graph: str | None, graph_args: Mapping[str, Any] | None, num_point: int) -> np.ndarray:
    """Build the graph at a dotted path and return its `A`, (3, V, V).

    Raises:
        UserError: there is no path, it does not resolve, or the graph does not have `num_point` joints.
    """
    if graph is None:
        raise UserError("model_args: 'graph' is missing; name a graph class, such as graph.ntu_rgb_d.Graph")
    adjacency = np.asarray(construct(graph, graph_args or {}, "model_args.graph_args").A)
    if adjacency.shape != (NUM_SUBSETS, num_point, num_point):
        raise UserError(f"model_args: graph '{graph}' has A of shape {adjacency.shape}, num_point {num_point} needs "
                        f"{(NUM_SUBSETS, num_point, num_point)}; give num_point the number of joints of that graph")
    return adjacency


def block_plan(blocks: Sequence[Sequence[int]] | None) -> Sequence[tuple[int, int]]:
    """Return what a config's `blocks` says, (output channels, stride over time) of each block; None: the usual plan.

    Raises:
        UserError: it is no list of pairs of numbers from 1.
    """
    if blocks is None:
        return PLAN
    pairs = [tuple(pair) if isinstance(pair, Sequence) else () for pair in blocks] if isinstance(blocks, list) else []
    if not pairs or not all(len(pair) == 2 and all(type(number) is int and number > 0 for number in pair)
                            for pair in pairs):
        raise UserError(f"model_args: blocks={str(blocks)[:80]} is no plan of blocks; give [channels, stride] of each, "
                        "such as [[64, 1], [64, 1], [128, 2]]")
    return [(channels, stride) for channels, stride in pairs]


def shortcut(in_channels: int, out_channels: int) -> nn.Module:
    """Return the spatial unit's `down`: identity, or a 1x1 convolution and batch norm where the channels change."""
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))


def init_conv_norm(module: reference.TemporalConv) -> None:
    """Set a convolution with batch norm as the published models do: He (fan-out), batch norm at one."""
    init_he_fan_out(module.conv)
    init_batch_norm(module.bn)


class Block(nn.Module):
    """Spatial unit, then relu(temporal unit + residual): (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V).

    With `time_axis` 3, T and V change places. `use_residual` is false in the first block, which widens. With
    `inner_relu` the temporal unit ends in a ReLU of its own before the residual is added. On a CPU, without gradients,
    bodies go through one after the other, so that what lies between the operators stays in the cache.

    Args:
        gcn1: spatial unit, a function of x. tcn1: temporal unit, a function of x and of what to add before its ReLU.
        fused: whether it is made of the engine's operators, or of standard ones.
    """

    def __init__(self, gcn1: nn.Module, tcn1: nn.Module, channels: tuple[int, int], stride: int, *,
                 use_residual: bool, time_axis: int = 2, inner_relu: bool = False, fused: bool = True) -> None:
        super().__init__()
        self.gcn1 = gcn1
        self.tcn1 = tcn1
        self.use_residual = use_residual
        self.inner_relu = inner_relu
        self.stride = stride
        self.channels = channels
        self.fused = fused
        self.residual: nn.Module = nn.Identity()
        if use_residual and (channels[0] != channels[1] or stride != 1):
            residual = (PointwiseConvNorm(*channels, stride, time_axis) if fused
                        else reference.PointwiseConvNorm(*channels, stride))
            init_conv_norm(residual)
            self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not self.fused or torch.is_grad_enabled():
            return self._forward(x)
        chunks = body_chunks(x, EVALUATION_BYTES * self.channels[0] // max(self.channels))
        return self._forward(x) if len(chunks) == 1 else torch.cat([self._forward(x[bodies]) for bodies in chunks])

    def _forward(self, x: Tensor) -> Tensor:
        residual = self.residual(x) if self.use_residual else None
        if self.inner_relu and residual is not None:
            return torch.relu(self.tcn1(self.gcn1(x)) + residual)
        return self.tcn1(self.gcn1(x), residual)


class BlockStack(nn.Module):
    """Stem, blocks and head: clips (N, C, T, V, M) float -> logits (N, num_class).

    (N, T, V*C) is taken for one body, the coordinate fastest.

    Args:
        make_block: (input channels, output channels, stride, is without shortcut) -> a block. The first is, unless it
            keeps its channels.
        drop_out: probability, in front of the classifier.
        time_axis: 2 if blocks take (B, C, T, V), 3 if they take (B, C, V, T).
        plan: (output channels, stride over time) of each block.
    """

    capturable = True  # see `train.cuda_graph`
    fused: ClassVar[bool] = False  # the blocks are made of the engine's operators, and (B, C, V, T) goes through them

    def __init__(self, shape: ClipShape, make_block: Callable[[int, int, int, bool], nn.Module],
                 drop_out: float = 0.0, time_axis: int = 2, plan: Sequence[tuple[int, int]] = PLAN) -> None:
        super().__init__()
        self.shape = shape
        self.num_blocks = len(plan)
        self.time_axis = time_axis
        self.memory_friendly = False
        bodies = 1 if shape.same_moments else shape.num_person
        self.data_bn = nn.BatchNorm1d(bodies * shape.in_channels * shape.num_point)
        channels = shape.in_channels
        for number, (out_channels, stride) in enumerate(plan, start=1):
            bare = number == 1 and channels != out_channels
            setattr(self, f"l{number}", make_block(channels, out_channels, stride, bare))
            channels = out_channels
        self.fc = nn.Linear(channels, shape.num_class)
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / shape.num_class))
        self.drop_out = nn.Dropout(drop_out)

    def forward(self, clips: Tensor) -> Tensor:
        return self.fc(self.features(clips))

    def features(self, clips: Tensor) -> Tensor:
        """Return what the classifier `fc` takes, (N, C): the mean over frames, joints and bodies, after dropout."""
        if clips.dim() == 3:
            clips = self._unflatten(clips)
        n = clips.shape[0]
        x = bodies_to_batch(clips, self.data_bn, self.shape.same_moments)  # (N*M, C, T, V)
        means = each_body(self, clips, x, self._body_means) if self.fused else self._body_means(x)  # (N*M, C)
        return self.drop_out(means.view(n, clips.shape[4], -1).mean(dim=1))

    def _body_means(self, x: Tensor) -> Tensor:
        """Take bodies (B, C_in, T, V) through the blocks; return their means over frames and joints, (B, C)."""
        if self.time_axis == 3:
            x = x.transpose(2, 3).contiguous()  # (B, C, V, T)
        for number in range(1, self.num_blocks + 1):
            block = getattr(self, f"l{number}")
            x = recomputed(block, x) if self.memory_friendly else block(x)
        return x.mean(dim=(2, 3))

    def set_memory_friendly(self, on: bool) -> None:
        """Whether training keeps only the input of each block and computes the block again for its gradients."""
        self.memory_friendly = on

    def _unflatten(self, flat: Tensor) -> Tensor:
        """(N, T, V*C) -> (N, C, T, V, 1)."""
        n, t, width = flat.shape
        if width != self.shape.num_point * self.shape.in_channels:
            raise UserError(f"frames of {width} numbers do not fit a model of {self.shape.num_point} joints with "
                            f"{self.shape.in_channels} coordinates; check num_point and in_channels")
        return flat.view(n, t, self.shape.num_point, -1).permute(0, 3, 1, 2).unsqueeze(-1)
