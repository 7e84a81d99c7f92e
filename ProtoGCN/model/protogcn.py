"""ProtoGCN (Liu et al., CVPR 2025), with operators of its own.
As equations it is in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model import reference
from model.aggregation import GraphAggregation, GraphWeights, aggregated, graphs_of
from model.temporal import MeanJointBranches, folded_branches
from skeleton_lab.nn.layers import PointwiseConvNorm, conv_norm
from skeleton_lab.nn.norm import Moments, folded, update_running
from skeleton_lab.nn.pointwise import pointwise
from skeleton_lab.nn.precision import working_dtype
from skeleton_lab.nn.temporal import BranchPlan

TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`


class SpatialUnit(reference.SpatialUnit):
    """The reference's spatial unit on (B, C_in, V, T) -> (B, C_out, V, T)."""

    written_by_hand = True  # not for torch.compile, see `skeleton_lab.train.compiling`

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(working_dtype(x))
        residual = x if isinstance(self.down, nn.Identity) else conv_norm(x, *self.down)
        out = conv_norm(self._aggregated(x), self.post, self.bn)
        return torch.relu_(out.add_(residual))

    def _aggregated(self, x: Tensor) -> Tensor:
        conv, norm, _ = self.pre
        weights = GraphWeights(torch.cat([self.conv1.weight, self.conv2.weight]).flatten(1),
                               torch.cat([self.conv1.bias, self.conv2.bias]), self.A, self.alpha[0], self.beta[0])
        if not norm.training:
            scale, shift = folded([norm])
            weight = (conv.weight.flatten(1) * scale.unsqueeze(1)).to(x.dtype)
            bias = (conv.bias * scale + shift).to(x.dtype)
            return aggregated(pointwise(weight, x).add_(bias.view(-1, 1, 1)).relu_(), graphs_of(x, weights))
        out, *moments = GraphAggregation.apply(x, conv.weight.flatten(1).to(x.dtype), conv.bias, norm.weight, norm.bias,
                                               norm.eps, *weights)
        update_running([norm], Moments(*moments), out.numel() // out.shape[1], left_out=conv.bias)
        return out


class TemporalUnit(reference.TemporalUnit):
    """The reference's temporal unit on (B, C, V, T) -> (B, C, V, ceil(T / stride))."""

    written_by_hand = True

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        self.plan = BranchPlan(reference.KERNEL, reference.DILATIONS, stride, TIME_AXIS, True, self.bn.eps)

    def forward(self, x: Tensor) -> Tensor:
        norm, _, mix = self.transform
        shared = (self._train if norm.training else self._evaluate)(x.to(working_dtype(x)), norm)
        return conv_norm(shared, mix, self.bn)

    def _train(self, x: Tensor, norm2: nn.BatchNorm2d) -> Tensor:
        *branches, plain = self.branches
        norms1 = [branch[1] for branch in branches]
        first = [*(branch[0] for branch in branches), plain]
        convs = [branch[3].conv for branch in branches[:-1]]
        bias1 = torch.cat([conv.bias for conv in first])
        weight1 = torch.cat([conv.weight for conv in first]).flatten(1).to(x.dtype)
        out, *moments = MeanJointBranches.apply(
            x, self.add_coeff[:x.shape[2]], self.plan, weight1, bias1, torch.cat([norm.weight for norm in norms1]),
            torch.cat([norm.bias for norm in norms1]), norm2.weight, norm2.bias,
            torch.cat([conv.bias for conv in convs]), *(conv.weight.to(x.dtype) for conv in convs))
        joints = x.shape[2]
        update_running(norms1, Moments(*moments[:2]), x.numel() // x.shape[1] // joints * (joints + 1),
                       left_out=bias1[:-plain.out_channels])
        update_running([norm2], Moments(*moments[2:]), out.numel() // out.shape[1])
        return out

    def _evaluate(self, x: Tensor, norm2: nn.BatchNorm2d) -> Tensor:
        *branches, plain = self.branches
        scale, shift = folded([branch[1] for branch in branches])
        weight = torch.cat([*(branch[0].weight for branch in branches), plain.weight]).flatten(1)
        bias = torch.cat([*(branch[0].bias for branch in branches), plain.bias])
        ones = torch.ones_like(plain.bias)
        scale, shift = torch.cat([scale, ones]), torch.cat([shift, 0 * ones])
        first = (weight * scale.unsqueeze(1)).to(x.dtype), (bias * scale + shift).to(x.dtype)
        seconds = [(branch[3].conv.weight.to(x.dtype), branch[3].conv.bias.to(x.dtype)) for branch in branches[:-1]]
        scale, shift = folded([norm2])
        return folded_branches(x, self.add_coeff[:x.shape[2]], self.plan, first, seconds,
                               (scale.to(x.dtype), shift.to(x.dtype)))


class Block(reference.Block):
    """The reference's block on (B, C_in, V, T)."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.tcn(self.gcn(x))
        return torch.relu_(out if self.residual is None else out.add_(self.residual(x)))


class _Residual(PointwiseConvNorm):
    """A strided 1x1 convolution and batch norm, frames innermost."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride, TIME_AXIS)


class Model(reference.Model):
    """ProtoGCN: arguments and results are those of `model.reference.Model`."""

    reference = reference.Model
    spatial_unit, temporal_unit, block_unit, residual_unit = SpatialUnit, TemporalUnit, Block, _Residual
    time_axis = TIME_AXIS
