"""Unified spatial-temporal graph convolution over sliding windows (MS-G3D section 3.3)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.ms_gcn import MultiScaleGraphConv


def window_adjacency(adjacency: np.ndarray, window: int) -> np.ndarray:
    """Return (w*V, w*V): each joint linked to itself and to its neighbours in every frame of the window.

    `adjacency` is (V, V), binary, with self-links; node tau*V + v is joint v in frame tau.
    """
    return np.tile(adjacency, (window, window))


class UnfoldTemporalWindows(nn.Module):
    """(B, C, T, V) -> (B, C, T', w*V): the window around every `stride`-th frame, zeros beyond both ends."""

    def __init__(self, window: int, stride: int) -> None:
        super().__init__()
        self.window, self.stride = window, stride

    def forward(self, x: Tensor) -> Tensor:
        pad = (self.window - 1) // 2
        windows = F.pad(x, (0, 0, pad, pad)).unfold(2, self.window, self.stride)  # (B, C, T', V, w)
        return windows.transpose(3, 4).flatten(3)


class SpatialTemporalGraphConv(MultiScaleGraphConv):
    """Multi-scale graph convolution over the tiled graph of a window: (B, C, T', w*V) -> (B, C_out, T', w*V)."""

    def __init__(self, adjacency: np.ndarray, window: int, num_scales: int, in_channels: int,
                 out_channels: int) -> None:
        super().__init__(window_adjacency(adjacency, window), num_scales, in_channels, out_channels, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(super().forward(x))
