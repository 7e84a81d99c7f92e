"""The skeleton of NTU RGB+D, as Hyper-GCN has it: tips and thumbs hang on the hands."""

from __future__ import annotations

from dataclasses import replace

from graph.tools import VirtualGraph
from skeleton_lab.skeletons import NTU_25

_HAND_OF = {21: 7, 22: 7, 23: 11, 24: 11}  # elsewhere a tip is linked to the thumb
SKELETON = replace(NTU_25, edges=tuple((child, _HAND_OF.get(child, parent)) for child, parent in NTU_25.edges))


class Graph(VirtualGraph):
    """`graph.ntu_rgb_d.Graph(hyper_joints=3, labeling_mode='virtual_ensemble')`."""

    def __init__(self, hyper_joints: int = 0, labeling_mode: str = "virtual_ensemble") -> None:
        super().__init__(SKELETON, hyper_joints, labeling_mode)
