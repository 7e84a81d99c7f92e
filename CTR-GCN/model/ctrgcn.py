"""CTR-GCN: channel-wise topology refinement graph convolution (Chen et al., ICCV 2021), with operators of its own.
As equations it is in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model import reference
from model.aggregation import AggregationWeights, RefinedAggregation, evaluate, folded_weights
from skeleton_lab.nn.blocks import NUM_SUBSETS
from skeleton_lab.nn.chunking import all_at_once
from skeleton_lab.nn.layers import MultiScaleTemporalConv, conv_norm, init_temporal
from skeleton_lab.nn.norm import Moments, NormActivation, folded, update_running
from skeleton_lab.nn.precision import working_dtype
from skeleton_lab.nn.prepared import prepared

TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`


class TopologyRefinementUnit(reference.SpatialUnit):
    """The reference's spatial unit on (B, C_in, V, T) -> (B, C_out, V, T), its subsets side by side.

    In evaluation mode the batch norms are folded into the convolutions.
    """

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
        residual = x if isinstance(self.down, nn.Identity) else conv_norm(x, *self.down)
        if not self.bn.training:
            return self._evaluate(x, residual)
        aggregated, *moments = RefinedAggregation.apply(x, True, *self._aggregation_weights())  # (B, C_out, V, T)
        update_running([self.bn], Moments(*moments), aggregated.numel() // aggregated.shape[1])
        return NormActivation.apply(aggregated, self.bn.weight, self.bn.bias, *moments, residual, self.bn.eps)

    def _evaluate(self, x: Tensor, residual: Tensor) -> Tensor:
        """Aggregate with the batch norm folded into the features."""
        if all_at_once(x) or torch.is_grad_enabled():
            weights, shift = self._weights_with_norm()
            return RefinedAggregation.apply(x, False, *weights).add_(shift.to(x.dtype)).add_(residual).relu_()
        return evaluate(x, prepared((self,), x.dtype, lambda: folded_weights(
            self._aggregation_weights(), *folded([self.bn]), x.dtype)), residual)

    def _weights_with_norm(self) -> tuple[AggregationWeights, Tensor]:
        """Return the weights with the batch norm's scale in the features, and its shift (C_out, 1, 1)."""
        weights, (scale, shift) = self._aggregation_weights(), folded([self.bn])
        per_feature = scale.repeat_interleave(NUM_SUBSETS)
        return weights._replace(feature_weight=weights.feature_weight * per_feature.unsqueeze(1),
                                feature_bias=weights.feature_bias * per_feature), shift.view(-1, 1, 1)


class TemporalUnit(MultiScaleTemporalConv):
    """The reference's temporal unit, (B, C, V, T) -> (B, C, V, ceil(T / stride)), as one operator."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, **reference.TEMPORAL_BRANCHES, stride=stride, time_axis=TIME_AXIS)
        init_temporal(self)


class Model(reference.Model):
    """CTR-GCN: arguments and results are those of `model.reference.Model`."""

    reference = reference.Model
    spatial_unit, temporal_unit = TopologyRefinementUnit, TemporalUnit
    fused = True
