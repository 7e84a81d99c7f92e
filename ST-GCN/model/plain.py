"""ST-GCN++'s spatial unit in evaluation mode as standard operators, for export."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skeleton_lab.export.plain import convolution, folded_pointwise
from skeleton_lab.nn.norm import folded


class PlainSpatial(nn.Module):
    """`SpatialUnit` in evaluation mode, same call: (B, C_in, V, T) -> (B, C_out, V, T)."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        scale, shift = (vector.unsqueeze(1) for vector in folded([unit.bn]))
        weight, offset = unit.weights()
        identity = isinstance(unit.down, nn.Identity)
        self.down = unit.down if identity else folded_pointwise(*unit.down, 1, time_axis=3)
        self.register_buffer("topology", unit.topology.detach().flatten(0, 1).clone())  # (K*U, V)
        self.register_buffer("offset", (offset * scale + shift).unsqueeze(2))  # (C_out, U, 1)
        self.mix = convolution(weight * scale, None)

    def forward(self, x: Tensor) -> Tensor:
        b, c, v, t = x.shape
        subsets = self.topology.shape[0] // v
        gathered = (self.topology @ x).reshape(b, c * subsets, v, t)  # (B, C_in, K*U, T) -> (B, C_in*K, U, T)
        return torch.relu(self.mix(gathered) + self.offset + self.down(x))
