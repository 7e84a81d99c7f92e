"""Disentangled multi-scale graph convolution (MS-G3D section 3.2), over joints or over the joints of a window."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from model.mlp import MLP
from skeleton_lab.skeletons import hop_distance, normalize_symmetric

# Every trained residual adjacency starts in U(-A_RES_BOUND, A_RES_BOUND): next to nothing, but not the same.
A_RES_BOUND = 1e-6


def scale_stack(adjacency: np.ndarray, num_scales: int) -> Tensor:
    """Return (K*V, V) float32: for k = 0 ... K-1 the normalised links to oneself and to the nodes k hops away.

    Computed in single precision, as the published models were trained: in double precision the model holds these
    values, not better ones.
    """
    distance, itself = hop_distance(adjacency), np.eye(len(adjacency), dtype=bool)
    scales = [normalize_symmetric(((distance == k) | itself).astype(np.float32)) for k in range(num_scales)]
    return torch.from_numpy(np.concatenate(scales))


class MultiScaleGraphConv(nn.Module):
    """Aggregate over K scales, mix the K*C_in channels: (B, C_in, T, V) -> (B, C_out, T, V).

    Args:
        adjacency: (V, V) binary.
        num_scales: K.
        activation: end with a ReLU.
    """

    def __init__(self, adjacency: np.ndarray, num_scales: int, in_channels: int, out_channels: int,
                 activation: bool = True) -> None:
        super().__init__()
        self.num_scales = num_scales
        stack = scale_stack(adjacency, num_scales)
        self.register_buffer("A_powers", stack, persistent=False)  # (K*V, V)
        self.A_res = nn.Parameter(torch.empty_like(stack).uniform_(-A_RES_BOUND, A_RES_BOUND))
        self.mlp = MLP(num_scales * in_channels, out_channels, activation)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        support = torch.einsum("wu,nctu->nctw", self.A_powers + self.A_res, x)  # (B, C, T, K*V)
        support = support.view(n, c, t, self.num_scales, v).permute(0, 3, 1, 2, 4)  # (B, K, C, T, V)
        return self.mlp(support.reshape(n, self.num_scales * c, t, v))
