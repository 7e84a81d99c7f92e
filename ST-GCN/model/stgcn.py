"""ST-GCN++ (Duan et al., "PYSKL: Towards Good Practices for Skeleton Action Recognition", ACM MM 2022, section 3.3).

ST-GCN (Yan et al., AAAI 2018) with three changes: topologies that are trained, starting from the skeleton's; a shortcut
around each spatial unit; temporal convolutions of several dilations in place of one with nine frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.aggregation import SharedAggregation, aggregate
from model.plain import PlainSpatial
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
from skeleton_lab.nn.layers import (
    MultiScaleTemporalConv,
    PointwiseConvNorm,
    conv_norm,
    init_batch_norm,
    init_he_fan_out,
)
from skeleton_lab.nn.norm import Moments, NormActivation, folded, update_running
from skeleton_lab.nn.precision import working_dtype

TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`
TEMPORAL_KERNEL = 3
TEMPORAL_DILATIONS = (1, 2, 3, 4)
CLASSIFIER_STD = 0.01


class SpatialUnit(nn.Module):
    """relu(batch norm(sum over the subsets k of A_k (W_k x + b_k)) + shortcut): (B, C_in, V, T) -> (B, C_out, V, T).

    ST-GCN's equation 10, with a trained A in place of a fixed one times an importance mask. In evaluation mode the
    batch norm is folded into the weights.
    """

    def __init__(self, in_channels: int, out_channels: int, topology: np.ndarray) -> None:
        super().__init__()
        self.topology = nn.Parameter(torch.from_numpy(topology.astype(np.float32)))  # (K, U, V)
        self.conv = nn.Conv2d(in_channels, len(topology) * out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)
        self.down = shortcut(in_channels, out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_he_fan_out(module)
        init_batch_norm(self.bn, scale=1e-6)  # a unit starts as its shortcut: deep stacks learn at once

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(working_dtype(x))
        residual = x if isinstance(self.down, nn.Identity) else conv_norm(x, *self.down)
        weight, offset = self.weights()
        if not self.bn.training:
            return self._evaluate(x, weight, offset, residual)
        mixed, *moments = SharedAggregation.apply(x, self.topology, weight, offset)  # (B, C_out, V, T)
        update_running([self.bn], Moments(*moments), mixed.numel() // mixed.shape[1])
        return NormActivation.apply(mixed, self.bn.weight, self.bn.bias, *moments, residual, self.bn.eps)

    def weights(self) -> tuple[Tensor, Tensor]:
        """Return the subsets' convolutions side by side (C_out, C_in*K), and what their biases add (C_out, U)."""
        subsets = len(self.topology)
        weight = self.conv.weight.unflatten(0, (subsets, -1)).flatten(2)  # (K, C_out, C_in)
        bias = self.conv.bias.view(subsets, -1)  # (K, C_out)
        return weight.permute(1, 2, 0).flatten(1), bias.t() @ self.topology.sum(dim=2)

    def _evaluate(self, x: Tensor, weight: Tensor, offset: Tensor, residual: Tensor) -> Tensor:
        scale, shift = (vector.unsqueeze(1) for vector in folded([self.bn]))
        weight, offset = (weight * scale).to(x.dtype), (offset * scale + shift).to(x.dtype)
        return aggregate(x, self.topology.to(x.dtype), weight, offset).add_(residual).relu_()

    def plain(self) -> nn.Module:
        """Return the unit in evaluation mode as standard operators, for export."""
        return PlainSpatial(self)


class TemporalUnit(nn.Module):
    """relu(batch norm(1x1 convolution(relu(six branches))) + shortcut): (B, C, V, T) -> (B, C, V, ceil(T / stride)).

    The branches: kernel 3 with dilations 1 to 4, a max-pool, and a 1x1 convolution.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.branches = MultiScaleTemporalConv(
            channels, channels, kernel_size=TEMPORAL_KERNEL, dilations=TEMPORAL_DILATIONS, stride=stride,
            residual=False, activation=True, time_axis=TIME_AXIS, uneven=True)
        self.mix = PointwiseConvNorm(channels, channels, time_axis=TIME_AXIS)
        for module in self.branches.modules():
            if isinstance(module, nn.Conv2d):
                init_he_fan_out(module)
        init_conv_norm(self.mix)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        out = self.mix(self.branches(x))
        return torch.relu_(out if shortcut is None else out.add_(shortcut))


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

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
                 graph_args: Mapping[str, Any] | None = None, in_channels: int = 3, drop_out: float = 0,
                 blocks: Sequence[Sequence[int]] | None = None, data_bn_type: str = "MVC") -> None:
        topology = graph_adjacency(graph, graph_args, num_point)
        if data_bn_type not in ("MVC", "VC"):
            raise UserError(f"model_args: data_bn_type {data_bn_type!r} does not exist; choose MVC or VC")

        def make_block(channels: int, out_channels: int, stride: int, first: bool) -> Block:
            return Block(SpatialUnit(channels, out_channels, topology), TemporalUnit(out_channels, stride),
                         (channels, out_channels), stride, use_residual=not first, time_axis=TIME_AXIS)

        shape = ClipShape(in_channels, num_point, num_person, num_class, same_moments=data_bn_type == "VC")
        super().__init__(shape, make_block, drop_out, TIME_AXIS, block_plan(blocks))
        nn.init.normal_(self.fc.weight, 0, CLASSIFIER_STD)
