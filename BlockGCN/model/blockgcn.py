"""BlockGCN (Zhou et al., CVPR 2024), with operators of its own.
As equations it is in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model import reference
from model.aggregation import GroupedAggregation, plus
from skeleton_lab.nn.blocks import Block
from skeleton_lab.nn.layers import MultiScaleTemporalConv, NormInFront, conv_norm, init_temporal
from skeleton_lab.nn.norm import Moments, NormActivation, affine, batch_moments, folded, update_running
from skeleton_lab.nn.precision import without_autocast, working_dtype
from skeleton_lab.nn.prepared import prepared
from skeleton_lab.nn.recompute import recomputed
from skeleton_lab.nn.stem import embed_joints

TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`


class SpatialUnit(reference.SpatialUnit):
    """The reference's spatial unit, (B, C_in, V, T) -> (B, C_out, V, T), its relations' convolutions as one.

    In evaluation mode the batch norm is folded into the convolutions; in training it is a part of the temporal unit.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the reference's; in training only where the temporal unit is frozen, see `BiasedBlock`."""
        if self.bn.training:
            mixed, moments = self.mixed(inputs, inputs, None)
            return NormActivation.apply(mixed, self.bn.weight, self.bn.bias, *moments, self.shortcut(inputs),
                                        self.bn.eps)
        topology, weight, shift = prepared((self,), inputs.dtype, lambda: self._folded(inputs.dtype))
        out = GroupedAggregation.apply(inputs, inputs, None, topology, weight, None)
        return out.add_(shift).add_(self.shortcut(inputs)).relu_()

    def _folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Return topologies and weight as `matrices` does, with the norm's scale, and a shift (C_out, 1, 1)."""
        topology, weight, offset = self.matrices()
        scale, shift = folded([self.bn])
        shift = (offset * scale + shift).view(-1, 1, 1)
        return topology.to(dtype), (weight * scale.view(reference.GROUPS, -1, 1)).to(dtype), shift.to(dtype)

    def shortcut(self, inputs: Tensor) -> Tensor:
        """Return what is added behind the norm, `inputs` themselves where the channels stay as many."""
        return inputs if isinstance(self.down, nn.Identity) else conv_norm(inputs, *self.down)

    def mixed(self, inputs: Tensor, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Moments]:
        """Return what the norm takes, but for the convolutions' biases, and its moments, in training mode."""
        topology, weight, offset = self.matrices()
        mixed, *moments = GroupedAggregation.apply(inputs, x, bias, topology, weight, offset)  # (B, C_out, V, T)
        update_running([self.bn], Moments(*moments), mixed.numel() // mixed.shape[1], left_out=offset)
        return mixed, Moments(*moments)

    def matrices(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the topologies (K, R*W, V), and the relations' convolutions side by side.

        Their weight (K, C_out/K, C_in/K*R), and the sum of their biases (C_out).
        """
        topology = self.topologies().permute(1, 0, 3, 2).flatten(1, 2)
        weight = torch.stack([conv.weight.flatten(1) for conv in self.fc2], dim=2)  # (C_out, C_in/K, R)
        first, *others = (conv.bias for conv in self.fc2)
        offset = sum(others, first)  # the sum of a stack would give the biases one gradient, which then adds up thrice
        return topology, weight.flatten(1).unflatten(0, (reference.GROUPS, -1)), offset


class TemporalUnit(MultiScaleTemporalConv):
    """The reference's temporal unit, (B, C, V, T) -> (B, C, V, ceil(T / stride)), as one operator."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, **reference.TEMPORAL_BRANCHES, stride=stride, time_axis=TIME_AXIS)
        init_temporal(self)


class BiasedBlock(Block):
    """Spatial unit, then relu(temporal unit + shortcut), of x (B, C_in, V, T) plus a bias (B, C_in) or None.

    In training x and the bias are kept, not their sum, and of the spatial unit what its norm takes.
    """

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        x = x.to(working_dtype(x))
        inputs, spatial = plus(x, bias), self.gcn1
        if not (spatial.bn.training and self.tcn1.trains):
            return super().forward(inputs)
        mixed, moments = spatial.mixed(inputs, x, bias)
        shortcut = spatial.shortcut(inputs)
        front = NormInFront(spatial.bn, moments, shortcut, (x, bias) if shortcut is inputs else (None, None))
        return self.tcn1.after_norm(mixed, front, self.residual(inputs))


class Model(reference.Model):
    """BlockGCN: arguments and results are those of `model.reference.Model`."""

    reference = reference.Model
    block, spatial_unit, temporal_unit = BiasedBlock, SpatialUnit, TemporalUnit
    fused = True

    def run(self, block: nn.Module, x: Tensor, bias: Tensor) -> Tensor:
        """Keep x only, which the block before keeps as well; with recomputation, x and the bias as one."""
        return recomputed(block, plus(x, bias)) if self.memory_friendly else block(x, bias)

    def embed(self, clips: Tensor) -> Tensor:
        """Embed the joints and normalise each (body, joint, channel), as one affine map: (B, C, V, T)."""
        return embed_joints(clips, self.to_joint_embedding, self.pos_embedding, self.data_bn)

    def biases(self, joints: Tensor) -> list[Tensor]:
        """Compute what the topology adds to all blocks' inputs, as one unit of many channels."""
        units = [getattr(self, f"t{number}") for number in range(len(reference.PLAN))]
        norms = [unit.bn for unit in units]
        with without_autocast(joints):
            weight = torch.cat([unit.mlp.weight for unit in units])
            mixed = torch.addmm(torch.cat([unit.mlp.bias for unit in units]), self.topo(joints), weight.t())  # (N, C)
            if norms[0].training:
                moments = batch_moments(mixed.detach().unsqueeze(2))  # bodies have the same rows, so they do not count
                update_running(norms, moments, len(mixed) * self.bodies)
                mixed = NormActivation.apply(mixed.unsqueeze(2), *affine(norms), *moments, None, norms[0].eps)
                mixed = mixed.squeeze(2)
            else:
                scale, shift = folded(norms)
                mixed = torch.relu(mixed * scale + shift)
        return list(units[0].to_bodies(mixed, self.bodies).split([norm.num_features for norm in norms], dim=1))
