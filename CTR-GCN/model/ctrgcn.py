"""CTR-GCN: channel-wise topology refinement graph convolution (Chen et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.aggregation import AggregationWeights, RefinedAggregation
from model.plain import PlainRefinement
from skeleton_lab.nn.blocks import NUM_SUBSETS, Block, BlockStack, ClipShape, block_plan, graph_adjacency, shortcut
from skeleton_lab.nn.layers import MultiScaleTemporalConv, conv_norm, init_batch_norm, init_he_fan_out
from skeleton_lab.nn.norm import Moments, NormActivation, folded, update_running
from skeleton_lab.nn.precision import working_dtype

TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`
TEMPORAL_KERNEL = 5
TEMPORAL_DILATIONS = (1, 2)
TEMPORAL_NORM_STD = 0.02
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


class SubsetConvs(nn.Module):
    """The four 1x1 convolutions of one adjacency subset (`CTRGC`): a holder of weights.

    conv1, conv2: phi and psi, C_in -> R; conv3: features, C_in -> C_out; conv4: xi, R -> C_out.
    """

    def __init__(self, in_channels: int, out_channels: int, relations: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, relations, 1)
        self.conv2 = nn.Conv2d(in_channels, relations, 1)
        self.conv3 = nn.Conv2d(in_channels, out_channels, 1)
        self.conv4 = nn.Conv2d(relations, out_channels, 1)


class TopologyRefinementUnit(nn.Module):
    """Spatial unit: three channel-wise refined topologies, batch norm, shortcut, ReLU (paper, sections 3.2 and 3.3).

    (B, C_in, V, T) -> (B, C_out, V, T). In evaluation mode the batch norms are folded into the convolutions.
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
        self.convs = nn.ModuleList([SubsetConvs(in_channels, out_channels, relations) for _ in range(NUM_SUBSETS)])
        self.down = shortcut(in_channels, out_channels)
        self.bn = nn.BatchNorm2d(out_channels)
        self.adaptive = adaptive
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_he_fan_out(module)
            elif isinstance(module, nn.BatchNorm2d):
                init_batch_norm(module)
        init_batch_norm(self.bn, scale=1e-6)

    @property
    def topology(self) -> Tensor:
        """The shared topologies, (3, V, V)."""
        return self.PA if self.adaptive else self.fixed_adjacency

    def _aggregation_weights(self) -> AggregationWeights:
        """Lay the subsets' convolutions side by side."""
        conv1, conv2, conv3, conv4 = ([getattr(subset, name) for subset in self.convs]
                                      for name in ("conv1", "conv2", "conv3", "conv4"))
        return AggregationWeights(
            relation_weight=torch.cat([c.weight for c in (*conv1, *conv2)]).flatten(1),
            relation_bias=torch.cat([c.bias for c in (*conv1, *conv2)]),
            feature_weight=torch.stack([c.weight.flatten(1) for c in conv3], dim=1).flatten(0, 1),
            feature_bias=torch.stack([c.bias for c in conv3], dim=1).flatten(),
            refine_weight=torch.stack([c.weight.flatten(1) for c in conv4]) * self.alpha,
            refine_bias=torch.stack([c.bias for c in conv4]) * self.alpha,
            shared=self.topology,
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(working_dtype(x))
        weights = self._aggregation_weights()
        residual = x if isinstance(self.down, nn.Identity) else conv_norm(x, *self.down)
        if not self.bn.training:
            return self._evaluate(x, weights, residual)
        aggregated, *moments = RefinedAggregation.apply(x, True, *weights)  # (B, C_out, V, T)
        update_running([self.bn], Moments(*moments), aggregated.numel() // aggregated.shape[1])
        return NormActivation.apply(aggregated, self.bn.weight, self.bn.bias, *moments, residual, self.bn.eps)

    def _evaluate(self, x: Tensor, weights: AggregationWeights, residual: Tensor) -> Tensor:
        """Aggregate with the batch norm folded into the features, which enter the output linearly."""
        scale, shift = folded([self.bn])
        per_feature = scale.repeat_interleave(NUM_SUBSETS)
        weights = weights._replace(feature_weight=weights.feature_weight * per_feature.unsqueeze(1),
                                   feature_bias=weights.feature_bias * per_feature)
        out = RefinedAggregation.apply(x, False, *weights)
        return out.add_(shift.to(out.dtype).view(-1, 1, 1)).add_(residual).relu_()

    def plain(self) -> nn.Module:
        """Return the unit in evaluation mode as standard operators, for export."""
        return PlainRefinement(self)


def _temporal_unit(channels: int, stride: int) -> MultiScaleTemporalConv:
    unit = MultiScaleTemporalConv(channels, channels, kernel_size=TEMPORAL_KERNEL, dilations=TEMPORAL_DILATIONS,
                                  stride=stride, residual=False, activation=True, time_axis=TIME_AXIS)
    for module in unit.modules():
        if isinstance(module, nn.Conv2d):
            init_he_fan_out(module)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, TEMPORAL_NORM_STD)
            nn.init.zeros_(module.bias)
    return unit


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

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
                 graph_args: Mapping[str, Any] | None = None, in_channels: int = 3, drop_out: float = 0,
                 adaptive: bool = True, tcn_relu: bool = False,
                 blocks: Sequence[Sequence[int]] | None = None) -> None:
        adjacency = graph_adjacency(graph, graph_args, num_point)

        def make_block(channels: int, out_channels: int, stride: int, first: bool) -> Block:
            return Block(TopologyRefinementUnit(channels, out_channels, adjacency, adaptive, as_pyskl=tcn_relu),
                         _temporal_unit(out_channels, stride), (channels, out_channels), stride,
                         use_residual=not first, time_axis=TIME_AXIS, inner_relu=tcn_relu)

        super().__init__(ClipShape(in_channels, num_point, num_person, num_class), make_block, drop_out, TIME_AXIS,
                         block_plan(blocks))
