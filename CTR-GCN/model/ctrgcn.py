"""CTR-GCN: channel-wise topology refinement graph convolution (Chen et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.blocks import NUM_SUBSETS, Block, BlockStack, ClipShape, graph_adjacency, shortcut
from skeleton_lab.layers import MultiScaleTemporalConv, init_batch_norm, init_he_fan_out

TEMPORAL_KERNEL = 5
TEMPORAL_DILATIONS = (1, 2)
TEMPORAL_NORM_STD = 0.02
RAW_CHANNELS = (3, 9)  # inputs this narrow are coordinates: they get a fixed number of relation channels
RELATION_CHANNELS_OF_RAW = 8
RELATION_REDUCTION = 8


class SubsetConvs(nn.Module):
    """The four 1x1 convolutions of one adjacency subset (`CTRGC`): a holder of weights.

    conv1, conv2: phi and psi, C_in -> R; conv3: features, C_in -> C_out; conv4: xi, R -> C_out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        raw = in_channels in RAW_CHANNELS
        relations = RELATION_CHANNELS_OF_RAW if raw else in_channels // RELATION_REDUCTION
        self.conv1 = nn.Conv2d(in_channels, relations, 1)
        self.conv2 = nn.Conv2d(in_channels, relations, 1)
        self.conv3 = nn.Conv2d(in_channels, out_channels, 1)
        self.conv4 = nn.Conv2d(relations, out_channels, 1)


class TopologyRefinementUnit(nn.Module):
    """Spatial unit: three channel-wise refined topologies, batch norm, shortcut, ReLU (paper, sections 3.2 and 3.3).

    (B, C_in, T, V) -> (B, C_out, T, V). The subsets share their input, so their convolutions run as one; a 1x1
    convolution commutes with the mean over time, so the relations are computed on the mean.
    """

    def __init__(self, in_channels: int, out_channels: int, adjacency: np.ndarray, adaptive: bool = True) -> None:
        super().__init__()
        topology = torch.from_numpy(adjacency.astype(np.float32))
        if adaptive:
            self.PA = nn.Parameter(topology)
        else:
            self.register_buffer("fixed_adjacency", topology, persistent=False)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList([SubsetConvs(in_channels, out_channels) for _ in range(NUM_SUBSETS)])
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

    def _stacked(self, conv: str) -> tuple[Tensor, Tensor]:
        """Return the weights (3, C_out, C_in) and biases (3, C_out) of one convolution of each subset."""
        convs = [getattr(subset, conv) for subset in self.convs]
        return torch.stack([c.weight.flatten(1) for c in convs]), torch.stack([c.bias for c in convs])

    def _refined_topologies(self, x: Tensor) -> Tensor:
        """Return Q of x (B, C_in, T, V): (B, 3, C_out, V, V)."""
        mean = x.mean(dim=2).unsqueeze(1)  # (B, 1, C_in, V)
        (w1, b1), (w2, b2), (w4, b4) = (self._stacked(conv) for conv in ("conv1", "conv2", "conv4"))
        p = w1 @ mean + b1.unsqueeze(-1)  # (B, 3, R, V)
        q = w2 @ mean + b2.unsqueeze(-1)
        relations = torch.tanh(p.unsqueeze(-1) - q.unsqueeze(-2))  # (B, 3, R, V, V)
        v = x.shape[-1]
        refinements = w4 @ relations.flatten(-2) + b4.unsqueeze(-1)  # (B, 3, C_out, V*V)
        refinements = refinements.unflatten(-1, (v, v))
        return refinements * self.alpha + self.topology.unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        w3, b3 = self._stacked("conv3")
        features = F.conv2d(x, w3.flatten(0, 1)[..., None, None], b3.flatten())  # (B, 3*C_out, T, V)
        features = features.unflatten(1, (NUM_SUBSETS, -1))  # (B, 3, C_out, T, V)
        topologies = self._refined_topologies(x)
        aggregated = (features @ topologies.transpose(-1, -2)).sum(dim=1)  # (B, C_out, T, V)
        return torch.relu(self.bn(aggregated) + self.down(x))


def _temporal_unit(channels: int, stride: int) -> MultiScaleTemporalConv:
    unit = MultiScaleTemporalConv(channels, channels, kernel_size=TEMPORAL_KERNEL, dilations=TEMPORAL_DILATIONS,
                                  stride=stride, residual=False, activation=False)
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

    Raises:
        UserError: no graph, or one that does not have `num_point` joints.
    """

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
                 graph_args: Mapping[str, Any] | None = None, in_channels: int = 3, drop_out: float = 0,
                 adaptive: bool = True) -> None:
        adjacency = graph_adjacency(graph, graph_args, num_point)

        def make_block(channels: int, out_channels: int, stride: int, first: bool) -> Block:
            return Block(TopologyRefinementUnit(channels, out_channels, adjacency, adaptive),
                         _temporal_unit(out_channels, stride), (channels, out_channels), stride, not first)

        super().__init__(ClipShape(in_channels, num_point, num_person, num_class), make_block, drop_out)
