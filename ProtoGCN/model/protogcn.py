"""ProtoGCN (Liu et al., CVPR 2025), with operators of its own.
As equations it is in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model import reference
from model.aggregation import GraphMixing, GraphWeights
from model.inference import FoldedSpatial, FoldedTemporal
from model.temporal import BranchWeights, NormedBranches
from skeleton_lab.nn.layers import PointwiseConvNorm, conv_norm
from skeleton_lab.nn.norm import Moments, NormActivation, update_running
from skeleton_lab.nn.pointwise import body_chunks
from skeleton_lab.nn.precision import without_autocast, working_dtype
from skeleton_lab.nn.prepared import prepared
from skeleton_lab.nn.temporal import BranchPlan

SHARED_CACHE_BYTES = 4 << 20  # of a CPU: evaluation takes bodies at a time whose activations are as large
TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`


class SpatialUnit(reference.SpatialUnit):
    """The reference's spatial unit on (B, C_in, V, T) -> (B, C_out, V, T); its fast form is in `Block`."""

    written_by_hand = True  # not for torch.compile, see `skeleton_lab.train.compiling`

    def forward(self, x: Tensor) -> Tensor:
        return frames_last(super().forward, x)

    def mixed(self, x: Tensor) -> tuple[Tensor, Moments]:
        """Return what the last norm takes, but for the bias of `post`, and its moments, in training mode."""
        conv, norm, _ = self.pre
        out, *moments = GraphMixing.apply(x, conv.weight.flatten(1).to(x.dtype), conv.bias, norm.weight, norm.bias,
                                          norm.eps, self.post.weight.flatten(1).to(x.dtype), self.post.bias,
                                          *self.graph_weights())
        count = out.numel() // out.shape[1]
        update_running([norm], Moments(*moments[:2]), count, left_out=conv.bias)
        update_running([self.bn], Moments(*moments[2:]), count, left_out=self.post.bias)
        return out, Moments(*moments[2:])

    def graph_weights(self) -> GraphWeights:
        """Return what makes a graph of a clip."""
        return GraphWeights(torch.cat([self.conv1.weight, self.conv2.weight]).flatten(1),
                            torch.cat([self.conv1.bias, self.conv2.bias]), self.A, self.alpha[0], self.beta[0])


class TemporalUnit(reference.TemporalUnit):
    """The reference's temporal unit on (B, C, V, T) -> (B, C, V, ceil(T / stride)); its fast form is in `Block`."""

    written_by_hand = True

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        self.plan = BranchPlan(reference.KERNEL, reference.DILATIONS, stride, TIME_AXIS, True, self.bn.eps)

    def forward(self, x: Tensor) -> Tensor:
        return frames_last(super().forward, x)

    def mixed(self, x: Tensor, moments: Moments, shortcut: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Moments]:
        """Return what the last norm takes of relu(norm(x) + shortcut), but for the bias, and its moments, in training.

        moments: of x.
        """
        *branches, plain = self.branches
        norms1, norm2, joints = [branch[1] for branch in branches], self.transform[0], x.shape[2]
        weights = self._branch_weights(x)
        out, *found = NormedBranches.apply(x, shortcut, norm.weight, norm.bias, *moments, self.plan, *weights)
        update_running(norms1, Moments(*found[:2]), x.numel() // x.shape[1] // joints * (joints + 1),
                       left_out=weights.bias1[:-plain.out_channels])
        count = out.numel() // out.shape[1]
        update_running([norm2], Moments(*found[2:4]), count)
        update_running([self.bn], Moments(*found[4:]), count, left_out=weights.mix_bias)
        return out, Moments(*found[4:])

    def _branch_weights(self, x: Tensor) -> BranchWeights:
        *branches, plain = self.branches
        norms1, norm2, last = [branch[1] for branch in branches], self.transform[0], self.transform[2]
        first = [*(branch[0] for branch in branches), plain]
        convs = [branch[3].conv for branch in branches[:-1]]
        return BranchWeights(
            gates=self.add_coeff[:x.shape[2]],
            weight1=torch.cat([conv.weight for conv in first]).flatten(1).to(x.dtype),
            bias1=torch.cat([conv.bias for conv in first]),
            norm1_weight=torch.cat([norm.weight for norm in norms1]),
            norm1_bias=torch.cat([norm.bias for norm in norms1]), norm2_weight=norm2.weight, norm2_bias=norm2.bias,
            bias2=torch.cat([conv.bias for conv in convs]), mix=last.weight.flatten(1).to(x.dtype), mix_bias=last.bias,
            kernels=torch.cat([conv.weight for conv in convs]).to(x.dtype))


def frames_last(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function of (B, C, T, V) to x (B, C, V, T), and return that layout."""
    return forward(x.transpose(2, 3)).transpose(2, 3).contiguous()


class Block(reference.Block):
    """The reference's block on (B, C_in, V, T).

    Without gradients, and in training, by operators that go from one unit into the other; where norms are frozen by
    those of the reference.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not all(part.training for part in self.modules()):
            return super().forward(x)
        x = x.to(working_dtype(x))
        down = self.gcn.down
        shortcut = x if isinstance(down, nn.Identity) else conv_norm(x, *down)
        mixed, moments = self.tcn.mixed(*self.gcn.mixed(x), shortcut, self.gcn.bn)
        residual = None if self.residual is None else self.residual(x)
        norm = self.tcn.bn
        return NormActivation.apply(mixed, norm.weight, norm.bias, *moments, residual, norm.eps)

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
        blocks = [prepared((block,), x.dtype, functools.partial(block.folded, x.shape[2], x.dtype))
                  for block in self.gcn]
        widest = x[:, :1].expand(-1, self.gcn[0].gcn.bn.num_features, -1, -1)
        with without_autocast(x):
            return torch.cat([functools.reduce(lambda y, block: block(y), blocks, x[bodies]).mean(dim=(2, 3))
                              for bodies in body_chunks(widest, SHARED_CACHE_BYTES)])
