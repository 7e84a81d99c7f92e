"""ProtoGCN's blocks in evaluation mode and without gradients: batch norms in the weights, a few bodies at a time.

Without batch moments no body depends on another: on a CPU each goes through all blocks by itself, so that what is
written is still in the cache when it is read. Activations are (C, V*T) there, frames innermost, bodies in front.

What follows a matrix product is made part of it where it can be: a shortcut is what the product is added to, and a bias
the weight of a channel of ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.aggregation import GraphWeights, graphs_of
from skeleton_lab.nn.norm import folded
from skeleton_lab.nn.temporal import BranchPlan, max_pool_frames


@dataclass(frozen=True)
class FoldedSpatial:
    """A spatial unit. pre: weight (K*m, C) and bias (K*m, 1). post: weight (C_out, K*m + C + 1) of what is aggregated,
    of the input where the unit has a convolution for a shortcut (else without these columns), and of ones.
    """

    pre: tuple[Tensor, Tensor]
    graph: GraphWeights
    post: Tensor

    @classmethod
    def of(cls, unit: Any, dtype: torch.dtype) -> FoldedSpatial:
        weight, bias = _folded_conv(unit.pre[0], unit.pre[1])
        post, shift = _folded_conv(unit.post, unit.bn)
        parts = [post]
        if not isinstance(unit.down, nn.Identity):
            down, more = _folded_conv(*unit.down)
            parts, shift = [post, down], shift + more
        return cls((weight.to(dtype), bias.unsqueeze(1).to(dtype)), unit.graph_weights(),
                   torch.cat([*parts, shift.unsqueeze(1)], dim=1).to(dtype))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, V, T) -> (B, C_out, V, T)."""
        flat, (weight, bias) = x.flatten(2), self.pre
        width, inner, (b, channels, joints, frames) = len(self.post), len(weight), x.shape
        active = torch.baddbmm(bias, weight.expand(b, -1, -1), flat).relu_()
        operand = x.new_empty(b, self.post.shape[1], joints * frames)
        operand[:, -1] = 1
        graphs = graphs_of(x, self.graph)
        graph = graphs.of(slice(None), graphs.differences(slice(None)), x.dtype)
        for n in range(b):
            torch.bmm(graph.unflatten(0, (b, -1))[n].transpose(1, 2), active[n].view(inner, joints, frames),
                      out=operand[n, :inner].view(inner, joints, frames))
        posts = self.post.expand(b, -1, -1)
        if operand.shape[1] == inner + 1:
            out = torch.baddbmm(flat, posts, operand)
        else:
            operand[:, inner:inner + channels] = flat
            out = torch.bmm(posts, operand)
        return out.relu_().view(b, width, joints, frames)


@dataclass(frozen=True)
class FoldedTemporal:
    """A temporal unit, with the block's shortcut and ReLU.

    first: weight (5b, C) and bias (5b, 1) in front of the ReLU. kernels: of the convolutions. pool: scale (b, 1, 1).
    plain: weight (b, C). gates: (V, 1). offset: (C, V, 1), what all biases and norms come to behind the branches. mix:
    weight (C, C) and bias (C, 1). residual: weight (C, C_in) of a convolution, or None.
    """

    plan: BranchPlan
    first: tuple[Tensor, Tensor]
    kernels: tuple[Tensor, ...]
    pool: Tensor
    plain: Tensor
    gates: Tensor
    offset: Tensor
    mix: tuple[Tensor, Tensor]
    residual: Tensor | None
    has_shortcut: bool

    @classmethod
    def of(cls, unit: Any, residual: Any, joints: int, dtype: torch.dtype) -> FoldedTemporal:
        *branches, plain = unit.branches
        scale1, shift1 = folded([branch[1] for branch in branches])
        weight = torch.cat([branch[0].weight for branch in branches]).flatten(1) * scale1.unsqueeze(1)
        bias = torch.cat([branch[0].bias for branch in branches]) * scale1 + shift1
        scale2, shift2 = folded([unit.transform[0]])
        convs, width = [branch[3].conv for branch in branches[:-1]], plain.out_channels
        kernels = torch.cat([conv.weight for conv in convs]) * scale2[:-2 * width].view(-1, 1, 1, 1)
        gates = unit.add_coeff[:joints].unsqueeze(1)
        own = torch.cat([*(conv.bias for conv in convs), torch.zeros_like(plain.bias), plain.bias]) * scale2
        offset = own.view(-1, 1, 1) * (1 + gates) + shift2.view(-1, 1, 1)
        mix, mix_bias = _folded_conv(unit.transform[2], unit.bn)
        convolved = None
        if residual is not None and not isinstance(residual, nn.Identity):
            convolved, more = _folded_conv(residual.conv, residual.bn)
            mix_bias = mix_bias + more
        return cls(unit.plan, (weight.to(dtype), bias.unsqueeze(1).to(dtype)),
                   tuple(unit.plan.kernel(kernel).to(dtype) for kernel in kernels.split(width)),
                   scale2[-2 * width:-width].view(-1, 1, 1).to(dtype),
                   (plain.weight.flatten(1) * scale2[-width:].unsqueeze(1)).to(dtype), gates.to(dtype),
                   offset.to(dtype), (mix.to(dtype), mix_bias.unsqueeze(1).to(dtype)),
                   None if convolved is None else convolved.to(dtype), residual is not None)

    def __call__(self, x: Tensor, block_input: Tensor) -> Tensor:
        """(B, C, V, T), and the block's input -> the block's output (B, C, V, T')."""
        b, channels, joints, frames = x.shape
        (weight, bias), plan = self.first, self.plan
        hidden = torch.baddbmm(bias, weight.expand(b, -1, -1), x.flatten(2)).view(b, -1, joints, frames)
        mean = hidden.mean(dim=2, keepdim=True).relu_()  # (B, 5b, 1, T)
        hidden.relu_()
        seen = plan.every_stride(x)
        merged = x.new_empty(b, channels, joints, seen.shape[3])
        width = len(self.plain)
        for part, slot in zip(self._branches(hidden, mean, seen), merged.split(width, dim=1), strict=True):
            torch.addcmul(part[0], part[1], self.gates, out=slot)
        merged.add_(self.offset).relu_()
        mix, mix_bias = self.mix
        mixes, flat = mix.expand(b, -1, -1), merged.flatten(2)
        if not self.has_shortcut:
            return torch.baddbmm(mix_bias, mixes, flat).relu_().view_as(merged)
        if self.residual is None:
            out = torch.baddbmm(block_input.flatten(2), mixes, flat)
        else:
            shortcut = plan.every_stride(block_input).flatten(2)
            out = torch.bmm(mixes, flat).baddbmm_(self.residual.expand(b, -1, -1), shortcut)
        return out.add_(mix_bias).relu_().view_as(merged)

    def _branches(self, hidden: Tensor, mean: Tensor, seen: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return what each branch gives, of the joints (B, b, V, T') and of their mean (B, b, 1, T')."""
        plan, width = self.plan, len(self.plain)
        parts, means = hidden.split(width, dim=1), mean.split(width, dim=1)
        found = []
        for part, own, kernel, dilation in zip(parts, means, self.kernels, plan.dilations, strict=False):
            geometry = plan.convolution(dilation)
            found.append((F.conv2d(part, kernel, **geometry), F.conv2d(own, kernel, **geometry)))
        pooled, pooled_mean = (max_pool_frames(part[-1], plan).mul_(self.pool) for part in (parts, means))
        found.append((pooled, pooled_mean))
        plain = torch.bmm(self.plain.expand(len(seen), -1, -1), seen.flatten(2)).view(-1, width, *seen.shape[2:])
        return [*found, (plain, plain.mean(dim=2, keepdim=True))]


def _folded_conv(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight (C_out, C_in) and bias (C_out) of a 1x1 convolution with the batch norm behind it."""
    assert conv.bias is not None
    scale, shift = folded([norm])
    return conv.weight.flatten(1) * scale.unsqueeze(1), conv.bias * scale + shift
