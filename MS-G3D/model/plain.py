"""MS-G3D's graph convolutions in evaluation mode as standard operators, for export.

Notation: B bodies, C channels, T frames, V joints, K scales, w frames in a window of stride s, T' = ceil(T / s).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.export.plain import convolution, every_stride
from skeleton_lab.nn.norm import folded


class PlainAggregation(nn.Module):
    """`ScaleAggregation` in evaluation mode with its ReLU: (B, C_in, T, V) -> (B, C_out, T', w*V).

    Nodes are summed first where the input is narrower than the output, else channels are mixed first; either way frame
    after frame of the window, so that no window is ever unfolded.
    """

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        weight, bias = unit.mlp.folded()  # (C_out, K*C_in)
        stack = (unit.A_powers + unit.A_res).detach()  # (K*w*V, w*V)
        self.size, self.stride, self.pad = unit.windows.size, unit.windows.stride, unit.windows.pad
        self.nodes = stack.shape[1]  # w*V
        self.joints, self.scales = self.nodes // self.size, stack.shape[0] // self.nodes
        self.out_channels, in_channels = weight.shape[0], weight.shape[1] // self.scales
        self.nodes_first = in_channels < self.out_channels
        by_frame = stack.view(self.scales, self.nodes, self.size, self.joints).permute(2, 0, 1, 3)  # (w, K, w*V, V)
        if self.nodes_first:
            self.register_buffer("blocks", by_frame.flatten(1, 2).transpose(1, 2).contiguous())  # (w, V, K*w*V)
            self.mix = convolution(weight, bias)
        else:
            self.register_buffer("blocks", by_frame.permute(0, 1, 3, 2).flatten(1, 2).contiguous())  # (w, K*V, w*V)
            self.mix = convolution(weight.view(-1, in_channels), None)  # rows (o, k)
            self.register_buffer("bias", bias.view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, _, t, v = x.shape
        if self.nodes_first:
            support = self._over_window(x)  # (B, C_in, T', K*w*V)
            support = support.unflatten(3, (self.scales, self.nodes)).permute(0, 3, 1, 2, 4)
            return torch.relu(self.mix(support.flatten(1, 2)))  # (B, K*C_in, T', w*V) -> (B, C_out, T', w*V)
        mixed = self.mix(x).view(b, self.out_channels, self.scales, t, v)
        mixed = mixed.permute(0, 1, 3, 2, 4).reshape(b, self.out_channels, t, self.scales * v)
        return torch.relu(self._over_window(mixed) + self.bias)

    def _over_window(self, x: Tensor) -> Tensor:
        """Multiply frame tau of every window of x (B, C, T, P) by block tau, and sum: (B, C, T', nodes)."""
        frames = x.shape[2]
        padded = F.pad(x, (0, 0, self.pad, self.pad)) if self.pad else x
        first, *others = (every_stride(padded.narrow(2, tau, frames), self.stride) @ self.blocks[tau]
                          for tau in range(self.size))
        return sum(others, first)


class PlainPathway(nn.Module):
    """`MS_G3D` in evaluation mode: (B, C_in, T, V) -> (B, C_out, T', V)."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.aggregation = PlainAggregation(unit.gcn3d["1"])
        scale, shift = folded([unit.out_bn])
        weight = unit.out_conv.weight.flatten(2)  # (C_out, C, w)
        self.collapse = convolution((weight * scale.view(-1, 1, 1)).flatten(1), unit.out_conv.bias * scale + shift)

    def forward(self, x: Tensor) -> Tensor:
        y = self.aggregation(x).unflatten(3, (self.aggregation.size, self.aggregation.joints))  # (B, C, T', w, V)
        return self.collapse(y.permute(0, 1, 3, 2, 4).flatten(1, 2))  # (B, C*w, T', V) -> (B, C_out, T', V)


class PlainMultiWindow(nn.Module):
    """`MultiWindowG3D` in evaluation mode, same call."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.pathways = nn.ModuleList([PlainPathway(pathway) for pathway in unit.gcn3d])

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (pathway(x) for pathway in self.pathways)
        return sum(others, first)
