"""The skeleton of NTU RGB+D as BlockGCN has it: tip and thumb of a hand both hang on the hand."""

from __future__ import annotations

from dataclasses import replace

from graph.tools import SpatialGraph
from skeleton_lab.skeletons import NTU_25

HAND_OF = {21: 7, 22: 7, 23: 11, 24: 11}  # elsewhere, and in the bone stream, a tip hangs on its thumb
SKELETON = replace(NTU_25, edges=tuple((joint, HAND_OF.get(joint, parent)) for joint, parent in NTU_25.edges))


class Graph(SpatialGraph):
    """`graph.ntu_rgb_d.Graph(labeling_mode='spatial')`."""

    def __init__(self, labeling_mode: str = "spatial") -> None:
        super().__init__(SKELETON, labeling_mode)
