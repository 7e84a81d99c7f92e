"""The skeleton of NTU RGB+D as FreqMixFormer has it: rooted at the middle of the spine."""

from __future__ import annotations

from graph.tools import SpatialGraph
from skeleton_lab.skeletons import NTU_25

ROOT = 1
TOP = NTU_25.root
# CTR-GCN's bones, of which the one between the root and the top of the spine is turned over
EDGES = tuple((TOP, ROOT) if edge == (ROOT, TOP) else edge for edge in NTU_25.edges)


class Graph(SpatialGraph):
    """`graph.ntu_rgb_d.Graph(labeling_mode='spatial')`; one hop takes a joint's parent away from it."""

    def __init__(self, labeling_mode: str = "spatial") -> None:
        super().__init__(NTU_25, EDGES, labeling_mode)
