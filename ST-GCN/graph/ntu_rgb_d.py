"""The skeleton of NTU RGB+D."""

from __future__ import annotations

from graph.tools import SpatialGraph
from skeleton_lab.skeletons import NTU_25


class Graph(SpatialGraph):
    """`graph.ntu_rgb_d.Graph(labeling_mode='spatial')`."""

    def __init__(self, labeling_mode: str = "spatial") -> None:
        super().__init__(NTU_25, labeling_mode)
