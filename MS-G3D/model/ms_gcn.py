"""Disentangled multi-scale graph convolution (MS-G3D section 3.2), over the joints of a frame or of a window."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.contraction import NarrowFirst, best_order
from model.mlp import MLP
from model.narrow import NarrowGraphConvNormRelu
from model.operators import ConvOptions, WindowGraphConv, WindowGraphConvNormRelu, evaluate_relu_map
from model.plain import PlainAggregation
from model.windows import Windows, rows_to_maps
from skeleton_lab.nn.norm import Moments, update_running
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.skeletons import hop_distance, normalize_symmetric

# Every trained residual adjacency starts in U(-A_RES_BOUND, A_RES_BOUND): next to nothing, but not the same.
A_RES_BOUND = 1e-6
# Inputs this narrow are coordinates of joints, which mixed precision leaves in single precision.
MAX_COORDINATES = 9


def scale_stack(adjacency: np.ndarray, num_scales: int) -> Tensor:
    """Return (K*V, V) float32: for k = 0 ... K-1 the normalised links to oneself and to the nodes k hops away.

    Computed in single precision, as the published models were trained: in double precision the model holds these
    values, not better ones.
    """
    distance, itself = hop_distance(adjacency), np.eye(len(adjacency), dtype=bool)
    scales = [normalize_symmetric(((distance == k) | itself).astype(np.float32)) for k in range(num_scales)]
    return torch.from_numpy(np.concatenate(scales))


class ScaleAggregation(nn.Module):
    """The parameters of a multi-scale graph convolution over the w*V nodes of sliding windows, and the convolution.

    Args:
        adjacency: (w*V, w*V) binary.
        num_scales: K.
    """

    def __init__(self, adjacency: np.ndarray, windows: Windows, num_scales: int, in_channels: int,
                 out_channels: int) -> None:
        super().__init__()
        self.windows = windows
        stack = scale_stack(adjacency, num_scales)
        self.register_buffer("A_powers", stack, persistent=False)  # (K*w*V, w*V)
        self.A_res = nn.Parameter(torch.empty_like(stack).uniform_(-A_RES_BOUND, A_RES_BOUND))
        self.mlp = MLP(num_scales * in_channels, out_channels)

    def aggregate(self, x: Tensor, map_weight: Tensor | None = None, map_bias: Tensor | None = None) -> Tensor:
        """Return aggregation, 1x1 convolution, BatchNorm and ReLU of x (B, C_in, T, V) as rows (T'*B*V*w, C).

        With a linear map (C_out, w*C) and (C_out): the map of each joint's w rows, (T'*B*V, C_out).
        """
        if x.shape[1] > MAX_COORDINATES:
            return self._aggregate(x, map_weight, map_bias)
        with without_autocast(x):  # a motion is small beside the position: eight bits of mantissa would lose it
            return self._aggregate(x.float() if x.dtype != torch.float64 else x, map_weight, map_bias)

    def _aggregate(self, x: Tensor, map_weight: Tensor | None, map_bias: Tensor | None) -> Tensor:
        stack, norm = self.A_powers + self.A_res, self.mlp.norm
        if norm.training:
            narrow = best_order(self.windows, x.shape[3], self.mlp.weight, x.shape[1]) is NarrowFirst
            operator = NarrowGraphConvNormRelu if narrow else WindowGraphConvNormRelu
            rows, *moments = operator.apply(x, stack, self.mlp.weight, self.mlp.bias, norm.weight, norm.bias,
                                            map_weight, map_bias, ConvOptions(self.windows, norm.eps))
            nodes = self.windows.count(x.shape[2]) * self.windows.size * x.shape[3]
            update_running([norm], Moments(*moments), len(x) * nodes)
            return rows
        weight, bias = self.mlp.folded()
        if not torch.is_grad_enabled():
            return evaluate_relu_map(x, stack, weight, bias, map_weight, map_bias, self.windows)
        rows = WindowGraphConv.apply(x, stack, weight, bias, self.windows).relu_()
        return rows if map_weight is None else F.linear(rows.view(-1, map_weight.shape[1]), map_weight, map_bias)


class MultiScaleGraphConv(ScaleAggregation):
    """Aggregate over K scales, mix the channels, BatchNorm, ReLU: (B, C_in, T, V) -> (B, C_out, T, V)."""

    def __init__(self, adjacency: np.ndarray, num_scales: int, in_channels: int, out_channels: int) -> None:
        super().__init__(adjacency, Windows(size=1, stride=1), num_scales, in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return rows_to_maps(self.aggregate(x), len(x), x.shape[3])

    def plain(self) -> nn.Module:
        """Return the unit in evaluation mode as standard operators, for export."""
        return PlainAggregation(self)
