"""The baseline that CTR-GCN is compared with: shared, trained topologies and one temporal convolution a block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skeleton_lab.nn.blocks import Block, BlockStack, ClipShape, graph_adjacency, init_conv_norm, shortcut
from skeleton_lab.nn.layers import init_batch_norm, init_he_fan_out
from skeleton_lab.nn.reference import TemporalConv

TEMPORAL_KERNEL = 5
COLUMN_NORM_FLOOR = 1e-4


class SharedTopologyUnit(nn.Module):
    """Spatial unit: one topology per subset for all channels, batch norm, shortcut, ReLU.

    (B, C_in, T, V) -> (B, C_out, T, V).
    """

    def __init__(self, in_channels: int, out_channels: int, num_point: int, num_set: int, adaptive: bool) -> None:
        super().__init__()
        topology = torch.eye(num_point).repeat(num_set, 1, 1)
        if adaptive:
            self.PA = nn.Parameter(topology)
        else:
            self.register_buffer("fixed_adjacency", topology, persistent=False)
        self.conv_d = nn.ModuleList([nn.Conv2d(in_channels, out_channels, 1) for _ in range(num_set)])
        self.down = shortcut(in_channels, out_channels)
        self.bn = nn.BatchNorm2d(out_channels)
        self.adaptive = adaptive
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.down.modules():
            if isinstance(module, nn.Conv2d):
                init_he_fan_out(module)
            elif isinstance(module, nn.BatchNorm2d):
                init_batch_norm(module)
        init_batch_norm(self.bn, scale=1e-6)
        for conv in self.conv_d:
            nn.init.normal_(conv.weight, 0, math.sqrt(2 / (conv.weight.numel() * len(self.conv_d))))
            nn.init.zeros_(conv.bias)

    def _topologies(self) -> Tensor:
        """Return the aggregation matrices, (num_set, V, V); the trained ones with columns of norm one."""
        if not self.adaptive:
            return self.fixed_adjacency
        return self.PA / (self.PA.norm(dim=1, keepdim=True) + COLUMN_NORM_FLOOR)

    def forward(self, x: Tensor) -> Tensor:
        gathered = x.unsqueeze(1) @ self._topologies().unsqueeze(1)  # (B, num_set, C_in, T, V)
        weight = torch.cat([conv.weight for conv in self.conv_d], dim=1)  # (C_out, num_set*C_in, 1, 1)
        first, *others = (conv.bias for conv in self.conv_d)
        bias = sum(others, first)  # by additions: the gradients of a stack's parts would share their memory
        mixed = F.conv2d(gathered.flatten(1, 2), weight, bias)  # (B, C_out, T, V)
        return torch.relu(self.bn(mixed) + self.down(x))


class TemporalUnit(TemporalConv):
    """relu(batch norm(convolution over time) + shortcut): (B, C, T, V) -> (B, C, ceil(T / stride), V)."""

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        out = super().forward(x)
        return torch.relu(out if shortcut is None else out + shortcut)


class Model(BlockStack):
    """The baseline: clips (N, C, T, V, M) float -> logits (N, num_class).

    Args:
        graph: dotted path of a graph class; it is checked against `num_point`, its `A` is not used.
        num_set: number of topologies, each of which starts as the identity.
        drop_out: probability, in front of the classifier.
        adaptive: whether the topologies are trained (`PA`) or constant.

    Raises:
        UserError: no graph, or one that does not have `num_point` joints.
    """

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
                 graph_args: Mapping[str, Any] | None = None, in_channels: int = 3, drop_out: float = 0,
                 adaptive: bool = True, num_set: int = 3) -> None:
        graph_adjacency(graph, graph_args, num_point)

        def make_block(channels: int, out_channels: int, stride: int, bare: bool) -> Block:
            temporal = TemporalUnit(out_channels, out_channels, TEMPORAL_KERNEL, stride)
            init_conv_norm(temporal)
            return Block(SharedTopologyUnit(channels, out_channels, num_point, num_set, adaptive), temporal,
                         (channels, out_channels), stride, use_residual=not bare)

        super().__init__(ClipShape(in_channels, num_point, num_person, num_class), make_block, drop_out)
