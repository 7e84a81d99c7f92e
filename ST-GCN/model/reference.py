"""ST-GCN++ as its papers write it, a line for an equation; nothing fused, nothing recomputed.

Duan et al., "PYSKL: Towards Good Practices for Skeleton Action Recognition", ACM MM 2022, section 3.3: ST-GCN (Yan et
al., AAAI 2018, whose equations are numbered here) with three changes: topologies that are trained, starting from the
skeleton's; a shortcut around each spatial unit; temporal convolutions of several dilations in place of one with nine
frames.

`model/stgcn.py` computes the same, from the same parameters, in a fraction of the time and memory. This form is what it
is tested against, and what is exported. `--model model.reference.Model` trains it.

Axes: B bodies, C channels, K subsets of a joint's neighbours, T frames, V joints; U and V where a topology leads from
joints v to u.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from skeleton_lab.nn.blocks import (
    Block,
    BlockStack,
    ClipShape,
    block_plan,
    graph_adjacency,
    init_conv_norm,
    shortcut,
)
from skeleton_lab.nn.layers import init_batch_norm, init_he_fan_out
from skeleton_lab.nn.reference import MultiScaleTemporalConv, PointwiseConvNorm

TEMPORAL_BRANCHES: dict[str, Any] = {"kernel_size": 3, "dilations": (1, 2, 3, 4), "residual": False,
                                     "activation": True, "uneven": True}
CLASSIFIER_STD = 0.01


class SpatialUnit(nn.Module):
    """relu(batch norm(sum over the subsets k of A_k (W_k x + b_k)) + shortcut): (B, C_in, T, V) -> (B, C_out, T, V)."""

    def __init__(self, in_channels: int, out_channels: int, topology: np.ndarray) -> None:
        super().__init__()
        # Contiguous, as processes that train together send it: the graph's is a transposed view.
        self.topology = nn.Parameter(torch.from_numpy(np.ascontiguousarray(topology, np.float32)))  # (K, U, V)
        self.conv = nn.Conv2d(in_channels, len(topology) * out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)
        self.down = shortcut(in_channels, out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_he_fan_out(module)
        init_batch_norm(self.bn, scale=1e-6)  # a unit starts as its shortcut: deep stacks learn at once

    def forward(self, x: Tensor) -> Tensor:
        subsets = len(self.topology)
        weights, biases = self.conv.weight.chunk(subsets), self.conv.bias.chunk(subsets)
        # (10): f_out = sum over k of A_k f_in W_k; A_k is trained where the paper has a fixed one times a mask
        first, *others = (F.conv2d(x, weight, bias) @ topology.t()  # (B, C_out, T, U)
                          for weight, bias, topology in zip(weights, biases, self.topology, strict=True))
        return torch.relu(self.bn(sum(others, first)) + self.down(x))


class TemporalUnit(nn.Module):
    """relu(batch norm(1x1 convolution(relu(six branches))) + shortcut): (B, C, T, V) -> (B, C, ceil(T / stride), V).

    The branches: kernel 3 with dilations 1 to 4, a max-pool, and a 1x1 convolution.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.branches, self.mix = self._parts(channels, stride)
        for module in self.branches.modules():
            if isinstance(module, nn.Conv2d):
                init_he_fan_out(module)
        init_conv_norm(self.mix)

    def _parts(self, channels: int, stride: int) -> tuple[MultiScaleTemporalConv, PointwiseConvNorm]:
        return (MultiScaleTemporalConv(channels, channels, **TEMPORAL_BRANCHES, stride=stride),
                PointwiseConvNorm(channels, channels))

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        out = self.mix(self.branches(x))
        return torch.relu(out if shortcut is None else out + shortcut)


class Model(BlockStack):
    """ST-GCN++: clips (N, C, T, V, M) float -> logits (N, num_class).

    The first batch norm is the engine's, by body, joint and coordinate: one for all bodies would take the zeros of
    absent ones for coordinates.

    Args:
        graph: dotted path of a class with `A` (3, V, V). graph_args: its keyword arguments.
        drop_out: probability, in front of the classifier.
        blocks: [channels, stride] of each block (default: the ten of the paper).
        data_bn_type: "MVC" as said above; "VC": one for all bodies all the same, as PYSKL trains, and any number of
            bodies.

    Raises:
        UserError: no graph, one that does not have `num_point` joints, no plan of blocks, another type of norm.
    """

    spatial_unit: ClassVar[type[SpatialUnit]] = SpatialUnit
    temporal_unit: ClassVar[type[TemporalUnit]] = TemporalUnit

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
                 graph_args: Mapping[str, Any] | None = None, in_channels: int = 3, drop_out: float = 0,
                 blocks: Sequence[Sequence[int]] | None = None, data_bn_type: str = "MVC") -> None:
        topology = graph_adjacency(graph, graph_args, num_point)
        if data_bn_type not in ("MVC", "VC"):
            raise UserError(f"model_args: data_bn_type {data_bn_type!r} does not exist; choose MVC or VC")
        time_axis = 3 if self.fused else 2

        def make_block(channels: int, out_channels: int, stride: int, bare: bool) -> Block:
            return Block(self.spatial_unit(channels, out_channels, topology), self.temporal_unit(out_channels, stride),
                         (channels, out_channels), stride, use_residual=not bare, time_axis=time_axis,
                         fused=self.fused)

        shape = ClipShape(in_channels, num_point, num_person, num_class, same_moments=data_bn_type == "VC")
        super().__init__(shape, make_block, drop_out, time_axis, block_plan(blocks))
        nn.init.normal_(self.fc.weight, 0, CLASSIFIER_STD)
