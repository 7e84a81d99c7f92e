"""CTR-GCN's spatial unit in evaluation mode as standard operators, for export."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skeleton_lab.export.plain import convolution, folded_pointwise
from skeleton_lab.nn.norm import folded


class PlainRefinement(nn.Module):
    """`TopologyRefinementUnit` in evaluation mode, (B, C_in, V, T) -> (B, C_out, V, T), equations 2 to 6 of the paper.

    S subsets, R relation channels; source joint v, target joint u.
    """

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        subsets = list(unit.convs)
        scale, shift = folded([unit.bn])
        self.num_subsets, self.relations = len(subsets), subsets[0].conv1.out_channels
        self.channels = subsets[0].conv3.out_channels
        self.identity = isinstance(unit.down, nn.Identity)
        self.down = unit.down if self.identity else folded_pointwise(*unit.down, 1, time_axis=3)
        both = [subset.conv1 for subset in subsets] + [subset.conv2 for subset in subsets]
        self.register_buffer("relation_weight", torch.cat([conv.weight for conv in both]).flatten(1))  # (2*S*R, C_in)
        self.register_buffer("relation_bias", torch.cat([conv.bias for conv in both]).unsqueeze(1))
        xi = torch.stack([subset.conv4.weight.flatten(1) for subset in subsets]) * unit.alpha  # (S, C_out, R)
        xi_bias = torch.stack([subset.conv4.bias for subset in subsets]) * unit.alpha  # (S, C_out)
        # Two more relation channels: the shared topology, with weight one, and ones, with xi's bias for weight.
        self.register_buffer("xi", torch.cat([xi, torch.ones_like(xi_bias)[..., None], xi_bias[..., None]], dim=2))
        shared = unit.topology.detach().flatten(1)  # (S, U*V)
        self.register_buffer("constants", torch.stack([shared, torch.ones_like(shared)], dim=1))  # (S, 2, U*V)
        weight = torch.stack([subset.conv3.weight.flatten(1) for subset in subsets], dim=1)  # (C_out, S, C_in)
        bias = torch.stack([subset.conv3.bias for subset in subsets], dim=1)  # (C_out, S)
        self.features = convolution((weight * scale[:, None, None]).flatten(0, 1), (bias * scale[:, None]).flatten())
        self.register_buffer("shift", shift.view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, _, v, t = x.shape
        s, r, c = self.num_subsets, self.relations, self.channels
        projected = self.relation_weight @ x.mean(dim=3) + self.relation_bias  # (B, 2*S*R, V)
        target, source = projected.view(b, 2, s, r, v).unbind(dim=1)  # (B, S, R, V) each
        relations = torch.tanh(target.unsqueeze(4) - source.unsqueeze(3)).view(b, s, r, v * v)  # (B, S, R, U*V)
        relations = torch.cat([relations, self.constants.expand(b, -1, -1, -1)], dim=2)
        refined = (self.xi @ relations).view(b, s, c, v, v)
        refined = refined.permute(0, 2, 3, 1, 4).reshape(b, c, v, s * v)  # (B, C_out, U, S*V)
        features = self.features(x).view(b, c, s * v, t)  # (B, C_out, S*V, T)
        return torch.relu(refined @ features + self.shift + self.down(x))
