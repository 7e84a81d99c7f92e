"""CTR-GCN as its paper writes it: Chen et al., "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based
Action Recognition", ICCV 2021. A line for an equation, named as in section 3.2; nothing fused, nothing recomputed.

`model/ctrgcn.py` computes the same, from the same parameters, in a fraction of the time and memory. This form is what
it is tested against and timed beside, and what is exported. `--model model.reference.Model` trains it.

Axes: B bodies, C channels, R relation channels, T frames, V joints; U and V where a topology leads from joints v to u.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.nn.blocks import NUM_SUBSETS, Block, BlockStack, ClipShape, block_plan, graph_adjacency, shortcut
from skeleton_lab.nn.layers import init_batch_norm, init_he_fan_out, init_temporal
from skeleton_lab.nn.reference import MultiScaleTemporalConv

TEMPORAL_BRANCHES: dict[str, Any] = {"kernel_size": 5, "dilations": (1, 2), "residual": False, "activation": True}
RAW_CHANNELS = (3, 9)  # inputs this narrow are coordinates: they get a fixed number of relation channels
MOST_RAW_CHANNELS = 16  # PYSKL's rule in place of the paper's code
RELATION_CHANNELS_OF_RAW = 8
RELATION_REDUCTION = 8


def relation_channels(in_channels: int, as_pyskl: bool) -> int:
    """Return R of a unit's input width: an eighth of it, or a fixed number of coordinates."""
    raw = in_channels in RAW_CHANNELS or in_channels < RELATION_REDUCTION  # an eighth of fewer would be none
    if raw or (as_pyskl and in_channels <= MOST_RAW_CHANNELS):
        return RELATION_CHANNELS_OF_RAW
    return in_channels // RELATION_REDUCTION


class ChannelWiseRefinement(nn.Module):
    """The graph convolution of one subset of the adjacency (section 3.2): (B, C_in, T, V) -> (B, C_out, T, V).

    conv1, conv2: psi and phi, C_in -> R; conv3: the feature transformation, C_in -> C_out; conv4: xi, R -> C_out.
    """

    def __init__(self, in_channels: int, out_channels: int, relations: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, relations, 1)
        self.conv2 = nn.Conv2d(in_channels, relations, 1)
        self.conv3 = nn.Conv2d(in_channels, out_channels, 1)
        self.conv4 = nn.Conv2d(relations, out_channels, 1)

    def forward(self, x: Tensor, shared: Tensor, alpha: Tensor) -> Tensor:
        """Aggregate x (B, C_in, T, V) by the refined topologies; `shared` is A, (U, V)."""
        features = self.conv3(x)  # feature transformation T: X~ = X W, (B, C_out, T, V)
        pooled = x.mean(dim=2, keepdim=True)  # temporal pooling, (B, C_in, 1, V)
        psi, phi = self.conv1(pooled).transpose(2, 3), self.conv2(pooled)  # (B, R, U, 1), (B, R, 1, V)
        relations = torch.tanh(psi - phi)  # M_1 = sigma(psi(x_u) - phi(x_v)), (B, R, U, V)
        correlations = self.conv4(relations)  # q_uv = xi(M), (B, C_out, U, V)
        refined = shared + alpha * correlations  # refinement R = A + alpha Q
        return features @ refined.transpose(2, 3)  # aggregation z_c = R_c x~_c for each channel c, (B, C_out, T, U)


class SpatialUnit(nn.Module):
    """relu(batch norm(sum of the subsets' graph convolutions) + shortcut), section 3.3.

    (B, C_in, T, V) -> (B, C_out, T, V).
    """

    def __init__(self, in_channels: int, out_channels: int, adjacency: np.ndarray, adaptive: bool = True,
                 as_pyskl: bool = False) -> None:
        super().__init__()
        topology = torch.from_numpy(adjacency.astype(np.float32))
        if adaptive:
            self.PA = nn.Parameter(topology)
        else:
            self.register_buffer("fixed_adjacency", topology, persistent=False)
        self.alpha = nn.Parameter(torch.zeros(1))
        relations = relation_channels(in_channels, as_pyskl)
        self.convs = nn.ModuleList([ChannelWiseRefinement(in_channels, out_channels, relations)
                                    for _ in range(NUM_SUBSETS)])
        self.down = shortcut(in_channels, out_channels)
        self.bn = nn.BatchNorm2d(out_channels)
        self.adaptive = adaptive
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_he_fan_out(module)
            elif isinstance(module, nn.BatchNorm2d):
                init_batch_norm(module)
        init_batch_norm(self.bn, scale=1e-6)  # a unit starts as its shortcut: deep stacks learn at once

    @property
    def topology(self) -> Tensor:
        """The shared topologies, (3, U, V)."""
        return self.PA if self.adaptive else self.fixed_adjacency

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (conv(x, shared, self.alpha) for conv, shared in zip(self.convs, self.topology, strict=True))
        return torch.relu(self.bn(sum(others, first)) + self.down(x))


class TemporalUnit(MultiScaleTemporalConv):
    """relu(four branches side by side + shortcut), section 3.3: (B, C, T, V) -> (B, C, ceil(T / stride), V)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, **TEMPORAL_BRANCHES, stride=stride)
        init_temporal(self)


class Model(BlockStack):
    """CTR-GCN: clips (N, C, T, V, M) float -> logits (N, num_class); (N, T, V*C) is taken for one body.

    Args:
        graph: dotted path of a class with `A` (3, V, V). graph_args: its keyword arguments.
        drop_out: probability, in front of the classifier.
        adaptive: whether the shared topologies are trained (`PA`) or constant.
        tcn_relu: PYSKL's variant: each temporal unit ends in a ReLU before the block's shortcut is added, and up to 16
            input channels count as coordinates.
        blocks: [channels, stride] of each block (default: the ten of the paper).

    Raises:
        UserError: no graph, one that does not have `num_point` joints, or no plan of blocks.
    """

    spatial_unit: ClassVar[type[SpatialUnit]] = SpatialUnit
    temporal_unit: ClassVar[type[nn.Module]] = TemporalUnit

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
                 graph_args: Mapping[str, Any] | None = None, in_channels: int = 3, drop_out: float = 0,
                 adaptive: bool = True, tcn_relu: bool = False,
                 blocks: Sequence[Sequence[int]] | None = None) -> None:
        adjacency = graph_adjacency(graph, graph_args, num_point)
        time_axis = 3 if self.fused else 2

        def make_block(channels: int, out_channels: int, stride: int, bare: bool) -> Block:
            return Block(self.spatial_unit(channels, out_channels, adjacency, adaptive, as_pyskl=tcn_relu),
                         self.temporal_unit(out_channels, stride), (channels, out_channels), stride,
                         use_residual=not bare, time_axis=time_axis, inner_relu=tcn_relu, fused=self.fused)

        super().__init__(ClipShape(in_channels, num_point, num_person, num_class), make_block, drop_out, time_axis,
                         block_plan(blocks))
