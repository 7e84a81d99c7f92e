"""The skeleton of MSR-Action3D: 20 joints."""

from __future__ import annotations

from graph.tools import SpatialGraph
from skeleton_lab.own_skeletons import MSR_ACTION3D_20

num_node = MSR_ACTION3D_20.num_joints


class Graph(SpatialGraph):
    """`graph.msr_action3d.Graph(labeling_mode='spatial')`."""

    def __init__(self, labeling_mode: str = "spatial") -> None:
        super().__init__(MSR_ACTION3D_20, labeling_mode)
