"""The skeleton of NW-UCLA."""

from __future__ import annotations

from graph.tools import VirtualGraph
from skeleton_lab.skeletons import UCLA_20


class Graph(VirtualGraph):
    """`graph.ucla.Graph(hyper_joints=3, labeling_mode='virtual_ensemble')`."""

    def __init__(self, hyper_joints: int = 0, labeling_mode: str = "virtual_ensemble") -> None:
        super().__init__(UCLA_20, hyper_joints, labeling_mode)
