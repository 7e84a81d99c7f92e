"""The skeleton of UTD-MHAD: 20 joints."""

from __future__ import annotations

from graph.tools import SpatialGraph
from skeleton_lab.own_skeletons import UTD_MHAD_20

num_node = UTD_MHAD_20.num_joints


class Graph(SpatialGraph):
    """`graph.utd_mhad.Graph(labeling_mode='spatial')`."""

    def __init__(self, labeling_mode: str = "spatial") -> None:
        super().__init__(UTD_MHAD_20, labeling_mode)
