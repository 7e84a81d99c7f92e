"""The skeleton of NW-UCLA."""

from __future__ import annotations

from graph.tools import SpatialGraph
from skeleton_lab.skeletons import UCLA_20


class Graph(SpatialGraph):
    """`graph.ucla.Graph(labeling_mode='spatial')`."""

    def __init__(self, labeling_mode: str = "spatial") -> None:
        super().__init__(UCLA_20, labeling_mode)
