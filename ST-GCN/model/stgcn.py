"""ST-GCN++ (Duan et al., ACM MM 2022), with operators of its own.
As equations it is in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model import reference
from model.aggregation import SharedAggregation, aggregate
from skeleton_lab.nn.layers import MultiScaleTemporalConv, PointwiseConvNorm, conv_norm
from skeleton_lab.nn.norm import Moments, NormActivation, folded, update_running
from skeleton_lab.nn.precision import working_dtype

TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`


class SpatialUnit(reference.SpatialUnit):
    """The reference's spatial unit on (B, C_in, V, T) -> (B, C_out, V, T), its subsets side by side.

    In evaluation mode the batch norm is folded into the weights.
    """

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


class TemporalUnit(reference.TemporalUnit):
    """The reference's temporal unit, (B, C, V, T) -> (B, C, V, ceil(T / stride)), of the engine's operators."""

    def _parts(self, channels: int, stride: int) -> tuple[MultiScaleTemporalConv, PointwiseConvNorm]:
        return (MultiScaleTemporalConv(channels, channels, **reference.TEMPORAL_BRANCHES, stride=stride,
                                       time_axis=TIME_AXIS),
                PointwiseConvNorm(channels, channels, time_axis=TIME_AXIS))

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        out = self.mix(self.branches(x))
        return torch.relu_(out if shortcut is None else out.add_(shortcut))


class Model(reference.Model):
    """ST-GCN++: arguments and results are those of `model.reference.Model`."""

    reference = reference.Model
    spatial_unit, temporal_unit = SpatialUnit, TemporalUnit
    fused = True
