"""ProtoGCN (Liu et al., CVPR 2025), with operators of its own.
As equations it is in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model import reference
from model.aggregation import GraphAggregation, GraphWeights
from model.inference import FoldedSpatial, FoldedTemporal
from model.temporal import MeanJointBranches
from skeleton_lab.nn.layers import PointwiseConvNorm, conv_norm
from skeleton_lab.nn.norm import Moments, update_running
from skeleton_lab.nn.pointwise import body_chunks
from skeleton_lab.nn.precision import without_autocast, working_dtype
from skeleton_lab.nn.temporal import BranchPlan

SHARED_CACHE_BYTES = 4 << 20  # of a CPU: evaluation takes bodies at a time whose activations are as large
TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`


class SpatialUnit(reference.SpatialUnit):
    """The reference's spatial unit on (B, C_in, V, T) -> (B, C_out, V, T), for training."""

    written_by_hand = True  # not for torch.compile, see `skeleton_lab.train.compiling`

    def forward(self, x: Tensor) -> Tensor:
        if not self.bn.training:
            return frames_last(super().forward, x)
        x = x.to(working_dtype(x))
        residual = x if isinstance(self.down, nn.Identity) else conv_norm(x, *self.down)
        conv, norm, _ = self.pre
        out, *moments = GraphAggregation.apply(x, conv.weight.flatten(1).to(x.dtype), conv.bias, norm.weight, norm.bias,
                                               norm.eps, *self.graph_weights())
        update_running([norm], Moments(*moments), out.numel() // out.shape[1], left_out=conv.bias)
        return torch.relu_(conv_norm(out, self.post, self.bn).add_(residual))

    def graph_weights(self) -> GraphWeights:
        """Return what makes a graph of a clip."""
        return GraphWeights(torch.cat([self.conv1.weight, self.conv2.weight]).flatten(1),
                            torch.cat([self.conv1.bias, self.conv2.bias]), self.A, self.alpha[0], self.beta[0])


class TemporalUnit(reference.TemporalUnit):
    """The reference's temporal unit on (B, C, V, T) -> (B, C, V, ceil(T / stride)), for training."""

    written_by_hand = True

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        self.plan = BranchPlan(reference.KERNEL, reference.DILATIONS, stride, TIME_AXIS, True, self.bn.eps)

    def forward(self, x: Tensor) -> Tensor:
        if not self.bn.training:
            return frames_last(super().forward, x)
        return conv_norm(self._shared(x.to(working_dtype(x))), self.transform[2], self.bn)

    def _shared(self, x: Tensor) -> Tensor:
        *branches, plain = self.branches
        norms1, norm2, joints = [branch[1] for branch in branches], self.transform[0], x.shape[2]
        first = [*(branch[0] for branch in branches), plain]
        convs = [branch[3].conv for branch in branches[:-1]]
        bias1 = torch.cat([conv.bias for conv in first])
        weight1 = torch.cat([conv.weight for conv in first]).flatten(1).to(x.dtype)
        out, *moments = MeanJointBranches.apply(
            x, self.add_coeff[:joints], self.plan, weight1, bias1, torch.cat([norm.weight for norm in norms1]),
            torch.cat([norm.bias for norm in norms1]), norm2.weight, norm2.bias,
            torch.cat([conv.bias for conv in convs]), *(conv.weight.to(x.dtype) for conv in convs))
        update_running(norms1, Moments(*moments[:2]), x.numel() // x.shape[1] // joints * (joints + 1),
                       left_out=bias1[:-plain.out_channels])
        update_running([norm2], Moments(*moments[2:]), out.numel() // out.shape[1])
        return out


def frames_last(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function of (B, C, T, V) to x (B, C, V, T), and return that layout."""
    return forward(x.transpose(2, 3)).transpose(2, 3).contiguous()


class Block(reference.Block):
    """The reference's block on (B, C_in, V, T)."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.tcn(self.gcn(x))
        if not self.training:
            return torch.relu(out if self.residual is None else out + self.residual(x))
        return torch.relu_(out if self.residual is None else out.add_(self.residual(x)))

    def folded(self, joints: int, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """Return the block as a function for evaluation without gradients, of as many joints and in this precision."""
        spatial = FoldedSpatial.of(self.gcn, dtype)
        temporal = FoldedTemporal.of(self.tcn, self.residual, joints, dtype)
        return lambda x: temporal(spatial(x), x)


class _Residual(PointwiseConvNorm):
    """A strided 1x1 convolution and batch norm, frames innermost."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride, TIME_AXIS)


class Model(reference.Model):
    """ProtoGCN: arguments and results are those of `model.reference.Model`."""

    reference = reference.Model
    spatial_unit, temporal_unit, block_unit, residual_unit = SpatialUnit, TemporalUnit, Block, _Residual
    time_axis = TIME_AXIS
    recomputes_graphs = True  # they have as many activations as a block, and take little time

    def _through_blocks(self, x: Tensor, clips: int) -> Tensor:
        if torch.is_grad_enabled() or any(part.training for part in self.gcn.modules()):
            return super()._through_blocks(x, clips)
        x = x.to(working_dtype(x))
        blocks = [block.folded(x.shape[2], x.dtype) for block in self.gcn]
        widest = x[:, :1].expand(-1, self.gcn[0].gcn.bn.num_features, -1, -1)
        with without_autocast(x):
            return torch.cat([functools.reduce(lambda y, block: block(y), blocks, x[bodies]).mean(dim=(2, 3))
                              for bodies in body_chunks(widest, SHARED_CACHE_BYTES)])
