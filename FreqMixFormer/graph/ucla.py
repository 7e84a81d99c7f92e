"""The skeleton of NW-UCLA as FreqMixFormer has it: its edges lead the other way than NTU RGB+D's."""

from __future__ import annotations

from graph.tools import SpatialGraph
from skeleton_lab.skeletons import UCLA_20


class Graph(SpatialGraph):
    """`graph.ucla.Graph(labeling_mode='spatial')`; one hop takes the sum of a joint's children away from it."""

    def __init__(self, labeling_mode: str = "spatial") -> None:
        super().__init__(UCLA_20, [(parent, child) for child, parent in UCLA_20.edges], labeling_mode)
