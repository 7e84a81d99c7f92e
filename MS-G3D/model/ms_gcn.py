"""Disentangled multi-scale graph convolution (MS-G3D, sections 3.2 and 3.3), over the joints of a frame or of a window.
As equations it is `ScaleAggregation` in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model import reference
from model.contraction import NarrowFirst, best_order
from model.narrow import NarrowGraphConvNormRelu
from model.operators import ConvOptions, WindowGraphConv, WindowGraphConvNormRelu, evaluate_relu_map
from model.windows import Windows, rows_to_maps
from skeleton_lab.nn.norm import Moments, folded, update_running
from skeleton_lab.nn.precision import without_autocast

# Inputs this narrow are coordinates of joints, which mixed precision leaves in single precision.
MAX_COORDINATES = 9


class MultiScaleGraphConv(reference.ScaleAggregation):
    """The reference's aggregation over the joints of single frames, and over the nodes of windows as rows."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.windows = Windows(*self.window)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, V) -> (B, C_out, T, V), of single frames."""
        return rows_to_maps(self.aggregate(x), len(x), x.shape[3])

    def aggregate(self, x: Tensor, map_weight: Tensor | None = None, map_bias: Tensor | None = None) -> Tensor:
        """Return aggregation, 1x1 convolution, BatchNorm and ReLU of x (B, C_in, T, V) as rows (T'*B*V*w, C).

        With a linear map (C_out, w*C) and (C_out): the map of each joint's w rows, (T'*B*V, C_out).
        """
        if x.shape[1] > MAX_COORDINATES:
            return self._aggregate(x, map_weight, map_bias)
        with without_autocast(x):  # a motion is small beside the position: eight bits of mantissa would lose it
            return self._aggregate(x.float() if x.dtype != torch.float64 else x, map_weight, map_bias)

    def _aggregate(self, x: Tensor, map_weight: Tensor | None, map_bias: Tensor | None) -> Tensor:
        stack = self.A_powers + self.A_res
        conv, norm = self.mlp.layers
        weight, bias = conv.weight.flatten(1), conv.bias  # (C_out, K*C_in), (C_out)
        if norm.training:
            narrow = best_order(self.windows, x.shape[3], weight, x.shape[1]) is NarrowFirst
            operator = NarrowGraphConvNormRelu if narrow else WindowGraphConvNormRelu
            rows, *moments = operator.apply(x, stack, weight, bias, norm.weight, norm.bias,
                                            map_weight, map_bias, ConvOptions(self.windows, norm.eps))
            nodes = self.windows.count(x.shape[2]) * self.windows.size * x.shape[3]
            update_running([norm], Moments(*moments), len(x) * nodes)
            return rows
        scale, shift = folded([norm])
        weight, bias = weight * scale.unsqueeze(1), bias * scale + shift
        if not torch.is_grad_enabled():
            return evaluate_relu_map(x, stack, weight, bias, map_weight, map_bias, self.windows)
        rows = WindowGraphConv.apply(x, stack, weight, bias, self.windows).relu_()
        return rows if map_weight is None else F.linear(rows.view(-1, map_weight.shape[1]), map_weight, map_bias)
