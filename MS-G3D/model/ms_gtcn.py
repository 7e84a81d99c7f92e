"""Unified spatial-temporal graph convolution over sliding windows (MS-G3D section 3.3)."""

from __future__ import annotations

import numpy as np

from model.ms_gcn import ScaleAggregation
from model.windows import Windows


def window_adjacency(adjacency: np.ndarray, window: int) -> np.ndarray:
    """Return (w*V, w*V): each joint linked to itself and to its neighbours in every frame of the window.

    `adjacency` is (V, V), binary, with self-links; node tau*V + v is joint v in frame tau.
    """
    return np.tile(adjacency, (window, window))


class SpatialTemporalGraphConv(ScaleAggregation):
    """Multi-scale graph convolution over the tiled graph of each window; its ReLU is left to the collapse."""

    def __init__(self, adjacency: np.ndarray, windows: Windows, num_scales: int, in_channels: int,
                 out_channels: int) -> None:
        super().__init__(window_adjacency(adjacency, windows.size), windows, num_scales, in_channels, out_channels)
