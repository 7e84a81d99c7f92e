"""Hyper-GCN (Zhou et al., ICCV 2025), with operators of its own.
As equations it is in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import reference
from model.aggregation import AggregationNorm, RectifiedSum, aggregate, offset_of
from model.embedding import NormedEmbedding, channels_first, embed, joints_first
from model.topology import JointTopology
from skeleton_lab.nn.layers import MultiScaleTemporalConv, conv_norm, init_temporal
from skeleton_lab.nn.norm import Moments, folded, normalize, running_moments, update_running
from skeleton_lab.nn.precision import without_autocast, working_dtype
from skeleton_lab.nn.recompute import recomputed

TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`


class SpatialUnit(reference.SpatialUnit):
    """The reference's spatial unit on (B, C_in, V, T) -> (B, C_out, V, T).

    Virtual joints are no part of the features, since they are the same in all frames. Topologies follow from means over
    time: they are small, stay in single precision, and are computed again for their gradients. In evaluation mode the
    batch norm is folded into the weights.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(working_dtype(x))
        residual = None if isinstance(self.down, nn.Identity) else conv_norm(x, *self.down)
        with without_autocast(x):
            mean = x.mean(dim=3, dtype=torch.promote_types(x.dtype, torch.float32))  # (B, C_in, V)
            virtual = self.hyper_joint.t().to(mean.dtype)  # one use of the parameter, whose gradients then add up alike
            topology = self._joint_rows(torch.cat([mean, virtual.expand(len(x), -1, -1)], dim=2))  # (B, K, V, U)
            weight = self.conv_d.weight.flatten(1).unflatten(0, (reference.HEADS, -1))  # (K, C_out/K, C_in/K)
            constants, reach = self._constants(topology, weight, virtual)
            topology = topology[..., :x.shape[2]]
        if not self.bn.training:
            return self._evaluate(x, topology, weight, offset_of(constants, reach), residual)
        out, *moments = AggregationNorm.apply(x, residual, topology.contiguous(), weight, constants, reach,
                                              self.bn.weight, self.bn.bias, self.bn.eps)
        update_running([self.bn], Moments(*moments), out.numel() // out.shape[1])
        return out

    def _joint_rows(self, vertices: Tensor) -> Tensor:
        """Return the rows of the topology that lead to joints, (B, K, V, U), of vertices (B, C_in, U)."""
        heads, (bodies, _, count) = reference.HEADS, vertices.shape
        first, _, second = self.to_W
        weights = torch.cat([conv.weight.view(heads, -1, conv.weight.shape[1]) for conv in (self.to_V, first)], dim=1)
        biases = torch.cat([conv.bias.view(heads, -1, 1) for conv in (self.to_V, first)], dim=1)
        # Bodies side by side: one product for each head, (K, 2*Q, C_in/K) by (K, C_in/K, B*U)
        by_head = vertices.unflatten(1, (heads, -1)).permute(1, 2, 0, 3).flatten(2)
        both = torch.baddbmm(biases, weights, by_head).view(heads, -1, bodies, count).permute(2, 0, 1, 3)
        points, hidden = both.chunk(2, dim=2)  # (B, K, Q, U)
        hidden = F.leaky_relu(hidden.flatten(1, 2))  # (B, K*Q, U)
        weight = torch.tanh(torch.matmul(second.weight.squeeze(2), hidden) + second.bias.unsqueeze(1))  # (B, K, E)
        joints = vertices.shape[2] - len(self.hyper_joint)
        return JointTopology.apply(points.transpose(2, 3).contiguous(), weight, self.static_topology()[:, :joints],
                                   torch.relu(self.alpha))

    def _constants(self, topology: Tensor, weight: Tensor, virtual: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of virtual joints (C_in, h), mixed, and the bias: (K, C_out/K, h+1).

        And how much of each a joint gets: (B, K, V, h+1).
        """
        joints = topology.shape[2]
        bias = self.conv_d.bias.view(reference.HEADS, -1, 1)
        mixed = weight @ virtual.unflatten(0, (reference.HEADS, -1)) + bias
        reach = torch.cat([topology[..., joints:], topology[..., :joints].sum(dim=3, keepdim=True)], dim=3)
        return torch.cat([mixed, bias], dim=2), reach

    def _evaluate(self, x: Tensor, topology: Tensor, weight: Tensor, offset: Tensor,
                  residual: Tensor | None) -> Tensor:
        scale, shift = (vector.unsqueeze(1) for vector in folded([self.bn]))  # (C_out, 1)
        weight, offset = weight * scale.view(*weight.shape[:2], 1), offset * scale + shift
        out = aggregate(x, *(tensor.to(x.dtype) for tensor in (topology, weight, offset)))
        return out.add_(x if residual is None else residual).relu_()


class TemporalUnit(MultiScaleTemporalConv):
    """The reference's temporal unit, (B, C, V, T) -> (B, C, V, ceil(T / stride)), as one operator."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, **reference.TEMPORAL_BRANCHES, stride=stride, time_axis=TIME_AXIS)
        init_temporal(self)


class _Stage(nn.Module):
    """Three blocks; if memory matters, each of the first two is computed again for its gradients."""

    def __init__(self, first: nn.Module, second: nn.Module, third: nn.Module, memory_friendly: bool) -> None:
        super().__init__()
        self.first, self.second, self.third, self.memory_friendly = first, second, third, memory_friendly

    def forward(self, x: Tensor) -> Tensor:
        x = self._run(self.first, x)
        return self.third(RectifiedSum.apply(self._run(self.second, x), x))

    def _run(self, block: nn.Module, x: Tensor) -> Tensor:
        # A view of its own: gradients of a block's input add up first in both ways, then comes that of the skip.
        return recomputed(block, x) if self.memory_friendly else block(x.view_as(x))


class Model(reference.Model):
    """Hyper-GCN: arguments and results are those of `model.reference.Model`."""

    reference = reference.Model
    spatial_unit, temporal_unit = SpatialUnit, TemporalUnit
    fused = True
    capturable = True  # see `skeleton_lab.train.cuda_graph`

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.memory_friendly = False
        for _, second, _ in reference.STAGES:  # its ReLU is `RectifiedSum`'s: nothing else would keep what it gives
            unit = getattr(self, f"l{second}").tcn1
            unit.plan = replace(unit.plan, activation=False)

    def embedded(self, clips: Tensor) -> Tensor:
        """Return the reference's as (N*M, 128, V, T)."""
        n, c, t, v, m = clips.shape
        joints = clips.permute(0, 4, 1, 3, 2).reshape(n * m, c, v, t)
        norm = self.data_bn
        weight, offset = self.to_joint_embedding.weight, (self.pos_embedding[0] + self.to_joint_embedding.bias).t()
        norm_weight, norm_bias = (channels_first(vector, m, v) for vector in (norm.weight, norm.bias))
        if not norm.training:
            with without_autocast(joints):
                moments = Moments(*(channels_first(vector, m, v) for vector in running_moments(norm)))
                out = normalize(embed(joints, weight, offset, m), norm_weight, norm_bias, moments, norm.eps)
            return out.view(n * m, -1, v, t)
        out, *moments = NormedEmbedding.apply(joints, weight, offset, norm_weight, norm_bias, m, norm.eps)
        update_running([norm], Moments(*(joints_first(vector, m, v) for vector in moments)), n * t)
        return out

    def stage(self, x: Tensor, *blocks: nn.Module) -> Tensor:
        stage = _Stage(*blocks, self.memory_friendly)
        return recomputed(stage, x) if self.memory_friendly else stage(x)

    def set_memory_friendly(self, on: bool) -> None:
        """Whether training keeps only the input of each three blocks, and computes these again for their gradients."""
        self.memory_friendly = on
