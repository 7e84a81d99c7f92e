"""ProtoGCN as its paper writes it, a line for an equation; nothing fused, nothing recomputed.

Liu et al., "Revealing Key Details to See Differences: A Novel Prototypical Perspective for Skeleton-based Action
Recognition", CVPR 2025. Each block makes a graph of its own from what the clip does ("motion topology"); the last one's
is rebuilt from learnt prototypes, and clips whose rebuilt graphs are of one class are drawn together in training.

`model/protogcn.py` computes the same, from the same parameters, in a fraction of the time and memory. This form is what
it is tested against, and what is exported. `--model model.reference.Model` trains it.

Axes: B bodies, C channels, K subsets of m channels each, T frames, V joints; a graph leads from joints v to w. P
prototypes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from model.class_memory import ClassMemory
from skeleton_lab.errors import UserError
from skeleton_lab.nn.blocks import block_plan
from skeleton_lab.nn.layers import bodies_to_batch
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.recompute import recomputed
from skeleton_lab.nn.reference import POOL_FRAMES, PointwiseConvNorm

SUBSETS = 8
DILATIONS = (1, 2, 3, 4)
KERNEL = 3
GATES = 25  # joints that `add_coeff` has entries for, whatever the skeleton
DROPPED_PROTOTYPES = 0.1
CLASSIFIER_STD = 0.01
TOPOLOGY_MEAN, TOPOLOGY_STD = 0.04, 0.02
# (output channels, stride over time) of each block
PLAN = ((96, 1), (96, 1), (96, 1), (96, 1), (192, 2), (192, 1), (192, 1), (384, 2), (384, 1), (384, 1))


class SpatialUnit(nn.Module):
    """Aggregation over a graph that the clip makes: (B, C_in, T, V) -> (B, C_out, T, V).

    alpha and beta have an entry a subset, as published; the first serves all of them.
    """

    def __init__(self, in_channels: int, out_channels: int, topology: Tensor) -> None:
        super().__init__()
        self.A = nn.Parameter(topology.clone())  # (K, V, V), [source, target]
        self.alpha = nn.Parameter(torch.zeros(SUBSETS))
        self.beta = nn.Parameter(torch.zeros(SUBSETS))
        width = SUBSETS * (out_channels // SUBSETS)
        self.pre = nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.post = nn.Conv2d(width, out_channels, 1)
        self.conv1 = nn.Conv2d(in_channels, width, 1)
        self.conv2 = nn.Conv2d(in_channels, width, 1)
        self.down: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        graph = self.relations(x.mean(dim=2)) + self.A.unsqueeze(1)  # (B, K, m, V, W)
        p = self.pre(x).unflatten(1, (SUBSETS, -1))  # (B, K, m, T, V)
        y = (p @ graph).flatten(1, 2)  # (B, K*m, T, W)
        return torch.relu(self.bn(self.post(y)) + self.down(x))

    def relations(self, mean: Tensor) -> Tensor:
        """Return the graph that a clip makes, without A: (B, K, m, V, W), of the mean over time of x, (B, C_in, V).

        In single precision at least: its arguments are tiny.
        """
        with without_autocast(mean):
            mean = mean.to(self.A.dtype).unsqueeze(2)
            a, b = (conv(mean).squeeze(2).unflatten(1, (SUBSETS, -1)) for conv in (self.conv1, self.conv2))
            differences = torch.tanh(a.unsqueeze(4) - b.unsqueeze(3))  # (B, K, m, V, W)
            products = torch.softmax(a.transpose(2, 3) @ b, dim=2)  # (B, K, V, W), over the sources of each joint
            return self.alpha[0] * differences + self.beta[0] * products.unsqueeze(2)


class TemporalUnit(nn.Module):
    """Six branches over the joints and their mean, which is then handed back to each joint: (B, C, T, V) ->
    (B, C, ceil(T / stride), V).
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.add_coeff = nn.Parameter(torch.zeros(GATES))
        width, self.stride = channels // (len(DILATIONS) + 2), stride
        branches = [_branch(channels, width, _TimeConv(width, stride, dilation)) for dilation in DILATIONS]
        branches.append(_branch(channels, width, nn.MaxPool2d((POOL_FRAMES, 1), (stride, 1), (POOL_FRAMES // 2, 0))))
        self.branches = nn.ModuleList([*branches, nn.Conv2d(channels, width, 1, (stride, 1))])
        self.transform = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        joints = x.shape[3]
        x = torch.cat([x, x.mean(dim=3, keepdim=True)], dim=3)  # (B, C, T, V+1)
        x = torch.cat([branch(x) for branch in self.branches], dim=1)
        x = x[..., :joints] + x[..., joints:] * self.add_coeff[:joints]  # (B, C, T', V)
        return self.bn(self.transform(x))


class _TimeConv(nn.Module):
    """A convolution over three frames, without a norm behind it."""

    def __init__(self, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, (KERNEL, 1), (stride, 1), (dilation, 0), (dilation, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def _branch(channels: int, width: int, last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(), last)


class Block(nn.Module):
    """relu(temporal unit(spatial unit(x)) + residual): (B, C_in, T, V) -> (B, C_out, ceil(T / stride), V).

    The first block has no residual.
    """

    def __init__(self, gcn: nn.Module, tcn: nn.Module, residual: nn.Module | None) -> None:
        super().__init__()
        self.gcn, self.tcn, self.residual = gcn, tcn, residual

    def forward(self, x: Tensor) -> Tensor:
        out = self.tcn(self.gcn(x))
        return torch.relu(out if self.residual is None else out + self.residual(x))


class Prototypes(nn.Module):
    """Rebuilds every cell of a graph as a mixture of prototypes: (N, C, V, V) -> (N, C, V, V)."""

    def __init__(self, channels: int, number: int) -> None:
        super().__init__()
        self.query_matrix = nn.Linear(channels, number, bias=False)
        self.memory_matrix = nn.Linear(number, channels, bias=False)
        self.dropout = nn.Dropout(DROPPED_PROTOTYPES)

    def forward(self, graph: Tensor, kept: Tensor | None) -> Tensor:
        """Return the rebuilt graph, what is not `kept` at zero."""
        cells = graph.flatten(2).transpose(1, 2)  # (N, V*V, C)
        rebuilt = self.memory_matrix(torch.softmax(self.query_matrix(cells), dim=2))
        rebuilt = rebuilt.transpose(1, 2).reshape(graph.shape)
        return rebuilt if kept is None else rebuilt * kept / (1 - self.dropout.p)

    def draw(self, clips: int, joints: int) -> Tensor | None:
        """Draw what dropout keeps, (N, C, V, V) bool; None: everything."""
        if not self.training or not self.dropout.p:
            return None
        shape = clips, self.memory_matrix.out_features, joints, joints
        return torch.rand(shape, device=self.memory_matrix.weight.device) >= self.dropout.p


class Rebuilding(nn.Module):
    """The graphs that clips make in a spatial unit, from prototypes: the mean of its input over time, (N*M, C_in, V) ->
    (N, V*V).

    Args:
        model: whose `prn`, `post` and `bn` do it. unit: its spatial unit. kept: what dropout keeps.
    """

    def __init__(self, model: Model, unit: SpatialUnit, kept: Tensor | None, clips: int) -> None:
        super().__init__()
        self.unit, self.prn, self.post, self.bn = unit, model.prn, model.post, model.bn
        self.kept, self.clips = kept, clips

    def forward(self, mean: Tensor) -> Tensor:
        graph = self.unit.relations(mean).flatten(1, 2)  # (N*M, C, V, W)
        graph = graph.unflatten(0, (self.clips, -1)).mean(dim=1)  # of all bodies
        rebuilt = self.prn(graph, self.kept)  # (N, C, V, W)
        return torch.relu(self.bn(self.post(rebuilt))).mean(dim=1).flatten(1)


class Model(nn.Module):
    """ProtoGCN: clips (N, C, T, V, M) float -> logits (N, num_class).

    In training mode each pass keeps the rebuilt graphs of its clips, by which `auxiliary_loss` tells how far clips are
    from the others of their class.

    Args:
        num_prototype: P. csc_weight: of the auxiliary loss beside the cross-entropy, `weight` in the published configs.
        blocks: [channels, stride] of each block (default: the ten of the paper).

    Attributes:
        graphs: (N, V*V), the rebuilt graphs of the last training pass, until they are asked for.

    Raises:
        UserError: more joints than `add_coeff` has entries for, no plan of blocks, or not even one of something.
    """

    spatial_unit: ClassVar[type[SpatialUnit]] = SpatialUnit
    temporal_unit: ClassVar[type[TemporalUnit]] = TemporalUnit
    residual_unit: ClassVar[type[PointwiseConvNorm]] = PointwiseConvNorm
    block_unit: ClassVar[type[Block]] = Block
    time_axis: ClassVar[int] = 2  # 3 if the units take (B, C, V, T)
    recomputes_graphs: ClassVar[bool] = False  # always, not only where memory is short
    capturable = True  # see `skeleton_lab.train.cuda_graph`
    training_buffers = ("csc_loss.avg_f",)

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, in_channels: int = 3,
                 num_prototype: int = 100, csc_weight: float = 0.3,
                 blocks: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__()
        _check(num_class=num_class, num_point=num_point, num_person=num_person, in_channels=in_channels,
               num_prototype=num_prototype)
        self.csc_weight, self.memory_friendly = csc_weight, False
        self.data_bn = nn.BatchNorm1d(num_point * in_channels)
        drawn = np.random.normal(TOPOLOGY_MEAN, TOPOLOGY_STD, (SUBSETS, num_point, num_point))
        topology = torch.from_numpy(drawn).to(torch.get_default_dtype())
        channels, stack = in_channels, []
        for out_channels, stride in _plan(blocks):
            residual = None if not stack else self._residual(channels, out_channels, stride)
            stack.append(self.block_unit(self.spatial_unit(channels, out_channels, topology),
                                         self.temporal_unit(out_channels, stride), residual))
            channels = out_channels
        self.gcn = nn.ModuleList(stack)
        self.post = nn.Conv2d(channels, channels, 1)
        self.bn = nn.BatchNorm2d(channels)
        self.prn = Prototypes(channels, num_prototype)
        self.fc = nn.Linear(channels, num_class)
        nn.init.normal_(self.fc.weight, 0, CLASSIFIER_STD)
        nn.init.zeros_(self.fc.bias)
        self.csc_loss = ClassMemory(num_point**2, num_class)
        self.graphs: Tensor | None = None

    def _residual(self, channels: int, out_channels: int, stride: int) -> nn.Module:
        if channels == out_channels and stride == 1:
            return nn.Identity()
        return self.residual_unit(channels, out_channels, stride)

    def forward(self, clips: Tensor) -> Tensor:
        return self.fc(self.features(clips))

    def features(self, clips: Tensor) -> Tensor:
        """Return what the classifier `fc` takes, (N, C): the mean over frames, joints and bodies."""
        n, m = clips.shape[0], clips.shape[4]
        x = bodies_to_batch(clips, self.data_bn, same_moments=True)  # (N*M, C, T, V)
        if self.time_axis == 3:
            x = x.transpose(2, 3).contiguous()  # (N*M, C, V, T)
        return self._through_blocks(x, n).view(n, m, -1).mean(dim=1)  # (N, C)

    def _through_blocks(self, x: Tensor, clips: int) -> Tensor:
        """Return the means over frames and joints of what comes out of the last block, (N*M, C)."""
        self.graphs = None
        *blocks, last = self.gcn
        for block in blocks:
            x = recomputed(block, x) if self.memory_friendly else block(x)
        if self.training:
            self.graphs = self._rebuilt(last.gcn, x.mean(dim=self.time_axis), clips)
        x = recomputed(last, x) if self.memory_friendly else last(x)
        return x.mean(dim=(2, 3))

    def _rebuilt(self, unit: SpatialUnit, mean: Tensor, clips: int) -> Tensor:
        rebuilding = Rebuilding(self, unit, self.prn.draw(clips, mean.shape[2]), clips)
        return recomputed(rebuilding, mean) if self.recomputes_graphs or self.memory_friendly else rebuilding(mean)

    def set_memory_friendly(self, on: bool) -> None:
        """Whether training keeps only the input of each block and computes the block again for its gradients."""
        self.memory_friendly = on

    def auxiliary_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the contrastive loss of the last training pass, weighted; it can be asked for once.

        Moves the class memory. logits (N, classes) say which clips it takes, labels (N,) are the classes.
        """
        graphs, self.graphs = self.graphs, None  # what they are made of is free as soon as the gradients are there
        assert graphs is not None, "no pass in training mode came before"
        return self.csc_weight * self.csc_loss(graphs, logits, labels)


def _plan(blocks: Sequence[Sequence[int]] | None) -> Sequence[tuple[int, int]]:
    plan = PLAN if blocks is None else block_plan(blocks)
    parts = math.lcm(SUBSETS, len(DILATIONS) + 2)
    for channels, _ in plan:
        if channels % parts:
            raise UserError(f"model_args: blocks of {channels} channels do not divide evenly; give a multiple of "
                            f"{parts}")
    return plan


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if type(number) is not int or number < 1:
            raise UserError(f"model_args: {name}={number!r} is no number from 1; give a positive whole number")
    if numbers["num_point"] > GATES:
        raise UserError(f"model_args: num_point {numbers['num_point']}: ProtoGCN takes up to {GATES} joints; give "
                        "fewer")
