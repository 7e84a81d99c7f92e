"""FreqMixFormer (Wu et al., ACM MM 2024), with operators of its own.
As equations it is in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import reference
from model.aggregation import GatedNormActivation, GraphProduct, bodies_in_turn, scaled
from model.reference import SUBSETS
from model.temporal import FirstLayers, largest
from skeleton_lab.nn.layers import PointwiseConvNorm, conv_norm
from skeleton_lab.nn.norm import Moments, NormActivation, affine, batch_moments, folded, update_running
from skeleton_lab.nn.pointwise import pointwise
from skeleton_lab.nn.precision import without_autocast, working_dtype
from skeleton_lab.nn.recompute import recomputed
from skeleton_lab.nn.stem import embed_joints
from skeleton_lab.nn.temporal import BranchPlan, convolve

TIME_AXIS = 3  # blocks work on (B, C, V, T), see `model.aggregation`
DILATIONS = (1, 2)


class SpatialUnit(reference.SpatialUnit):
    """The reference's spatial unit, (B, C_in, V, T) -> (B, C_out, V, T).

    Queries and keys come from means of x over time, so that the maps are there before its wide convolution.
    """

    written_by_hand = True  # not for torch.compile, see `train.compiling`

    def forward(self, x: Tensor) -> Tensor:
        if not self.bn.training and torch.is_grad_enabled():  # norms frozen: seldom
            return super().forward(x.transpose(2, 3)).transpose(2, 3)
        x = x.to(working_dtype(x))
        residual = x if isinstance(self.down, nn.Identity) else conv_norm(x, *self.down)
        y, means, deviations = GraphProduct.apply(x, *self.graph_parts(x), self.conv.weight, self.conv.bias)
        with without_autocast(x):
            gate = 1 + torch.sigmoid(self.ChaRef_conv(means.unsqueeze(1)).squeeze(1))  # (B, C)
        if self.bn.training:
            out, *moments = GatedNormActivation.apply(y, gate, self.bn.weight, self.bn.bias, means.detach(),
                                                      deviations, residual, self.bn.eps)
            update_running([self.bn], Moments(*moments), out.numel() // out.shape[1])
            return out
        scale, shift = folded([self.bn])
        for some in bodies_in_turn(y):
            scaled(y[some], gate[some] * scale, shift, residual[some], y[some])
        return y

    def graph_parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what quarters and classes of channels add to the graphs, (B, J, W, K*V) and (8, W, K*V)."""
        exact = torch.promote_types(x.dtype, torch.float32)
        with without_autocast(x):
            of_runs = (SUBSETS * 2 * reference.QUARTERS, -1)  # W pooled is pooled W
            weight = self.conv.weight.flatten(1).unflatten(0, of_runs).mean(dim=1)  # (K*8, C_in)
            bias = self.conv.bias.unflatten(0, of_runs).mean(dim=1)
            pooled = weight @ x.mean(dim=3, dtype=exact) + bias[:, None]  # (B, K*8, V)
            maps = self.Spa_Att(pooled.unflatten(1, (SUBSETS, -1)), self.linear)  # (B, K, J, V, W)
            return (0.5 * maps.permute(0, 2, 4, 1, 3).flatten(3),
                    self.graphs().squeeze(1).permute(1, 3, 0, 2).flatten(2))


class TemporalUnit(reference.TemporalUnit):
    """relu(the reference's five branches + residual or None), (B, C, V, T) -> (B, C, V, F)."""

    written_by_hand = True

    def __init__(self, channels: int, stride: int, frames: int) -> None:
        super().__init__(channels, stride, frames)
        first = self.parts()[0]
        self.plan = BranchPlan(len(first[3].conv.weight[0, 0]), DILATIONS, stride, TIME_AXIS, False, first[1].eps)

    def parts(self) -> list[nn.Sequential]:
        """Return the branches; only `__init__` says what modules they consist of."""
        return list(self.branches)

    def norms(self) -> tuple[list[nn.BatchNorm2d], list[nn.BatchNorm2d]]:
        """Return the norms in front of three branches' ReLU, and each branch's last norm."""
        one, two, pool, attention, gate = self.parts()
        return [one[1], two[1], pool[1]], [one[3].bn, two[3].bn, pool[4], attention[1], gate[1]]

    def forward(self, x: Tensor, residual: Tensor | None) -> Tensor:
        firsts, lasts = self.norms()
        if not firsts[0].training and torch.is_grad_enabled():
            out = super().forward(x.transpose(2, 3)).transpose(2, 3)
            return torch.relu(out if residual is None else out + residual)
        x = x.to(working_dtype(x))
        parts = self.parts()
        convs = [*(part[0] for part in parts[:3]), parts[3][0].conv, parts[4][0].conv]
        weight = torch.cat([conv.weight for conv in convs]).flatten(1)
        bias = torch.cat([conv.bias for conv in convs])
        kernels = [part[3].conv for part in parts[:2]]
        bias2 = torch.cat([conv.bias for conv in kernels])
        bias2 = F.pad(bias2, (0, len(bias) - len(bias2)))  # what the last norms take out
        layers = weight, bias, [kernel.weight.to(x.dtype) for kernel in kernels]
        if firsts[0].training:
            return self._train(x, residual, layers, bias2)
        merged = self._merged(x, *self._infer_first(x, *layers))
        scale, shift = folded(lasts)
        none = torch.zeros_like(shift), torch.ones_like(shift)
        out = torch.native_batch_norm(merged, scale, shift + bias2 * scale, *none, False, 0.0, 0.0)[0]
        return (out if residual is None else out.add_(residual)).relu_()

    def _train(self, x: Tensor, residual: Tensor | None, layers: tuple[Tensor, Tensor, list[Tensor]],
               bias2: Tensor) -> Tensor:
        (weight, bias, kernels), (firsts, lasts) = layers, self.norms()
        convolved, others, *moments = FirstLayers.apply(x, self.plan, weight.to(x.dtype), bias, *affine(firsts),
                                                        *kernels)
        update_running(firsts, Moments(*moments), x.numel() // x.shape[1], left_out=bias[:convolved.shape[1]])
        merged = self._merged(x, convolved, others)
        moments2 = batch_moments(merged.detach())
        update_running(lasts, moments2, merged.numel() // merged.shape[1], left_out=bias2)
        scale, shift = affine(lasts)
        return NormActivation.apply(merged, scale, shift + 0 * bias2, *moments2, residual, self.plan.eps)

    def _infer_first(self, x: Tensor, weight: Tensor, bias: Tensor, kernels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what `FirstLayers` does, in evaluation mode."""
        scale, shift = folded(self.norms()[0])
        split = len(scale)
        head = (weight[:split] * scale[:, None]).to(x.dtype)
        shift = (bias[:split] * scale + shift).to(x.dtype)
        active = pointwise(head, x).add_(shift[:, None, None]).relu_()
        seen = self.plan.every_stride(x)
        convolved = x.new_empty(len(x), split, *seen.shape[2:])
        convolve(active, self.plan, kernels, convolved)
        return convolved, pointwise(weight[split:].to(x.dtype), seen).add_(bias[split:, None, None].to(x.dtype))

    def _merged(self, x: Tensor, convolved: Tensor, others: Tensor) -> Tensor:
        """Return all branches side by side, before their last norms: (B, C, V, F)."""
        attention, gate = self.parts()[3][0], self.parts()[4][0]
        attended, gated = others.chunk(2, dim=1)
        return torch.cat([convolved, attention.bn(_attend(attention, attended)).to(x.dtype), _gate(gate, gated)],
                         dim=1)


def _attend(unit: reference.FrameAttention, z: Tensor) -> Tensor:
    """Mix the frames of z (B, b, V, F), the same way for all channels and joints of a body."""
    first, last = z.chunk(2, dim=1)
    queries, keys = (F.relu(unit.linear(vector)) for vector in (first.mean(dim=(1, 2)), largest(last)))  # (B, F)
    weights = torch.sigmoid(queries.unsqueeze(2) * keys.unsqueeze(1))  # from frame t to u
    return torch.bmm(z.flatten(1, 2), weights).view_as(z)


def _gate(unit: reference.FrameGate, z: Tensor) -> Tensor:
    """Weight the frames of z (B, b, V, F)."""
    both = torch.stack([z.mean(dim=(1, 2)), largest(z)], dim=1)  # (B, 2, F)
    return z * torch.sigmoid(unit.combine_conv(both.unsqueeze(3))).transpose(2, 3).to(z.dtype)


class Block(reference.Block):
    """The reference's block on (B, C_in, V, T)."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.view_as(x)  # see the reference
        return self.tem_mixf(self.spa_mixf(x), None if self.residual is None else self.residual(x))


class Model(reference.Model):
    """FreqMixFormer: arguments and results are those of `model.reference.Model`."""

    reference = reference.Model
    block, spatial_unit, temporal_unit = Block, SpatialUnit, TemporalUnit
    residual_unit = partial(PointwiseConvNorm, time_axis=TIME_AXIS)

    def embed(self, clips: Tensor) -> Tensor:
        """Take away what is `hop` edges away, embed and normalise, as one affine map: (B, C, V, T)."""
        seen = torch.einsum("vu,nctum->nctvm", self.away.to(clips.dtype), clips)
        return embed_joints(seen, self.to_joint_embedding, self.pos_embedding, self.data_bn)

    def pooled(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return means over frames and joints, of x (B, C, V, T) and of the heads; of these, keep what they pool."""
        heads = (recomputed(_Head(tram), z.unflatten(3, (x.shape[3], -1)).mean(dim=4))
                 for tram, z in ((self.first_tram, first), (self.second_tram, second)))
        return x.mean(dim=(2, 3)) + sum(heads)


class _Head(nn.Module):
    """The mean over frames and joints of relu(batch norm(1x1 convolution(z))), (B, C_in, V, T) -> (B, C)."""

    def __init__(self, tram: nn.Sequential) -> None:
        super().__init__()
        _, self.conv, self.bn, _ = tram

    def forward(self, z: Tensor) -> Tensor:
        return torch.relu(conv_norm(z, self.conv, self.bn)).mean(dim=(2, 3))
