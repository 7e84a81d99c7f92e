"""The skeletons of PYSKL and MMAction2, by the names that their configurations give: layout "coco" and others."""

from __future__ import annotations

from graph.tools import SpatialGraph
from skeleton_lab.own_skeletons import pyskl_skeleton


class Graph(SpatialGraph):
    """`graph.pyskl.Graph(layout='coco')`: nturgb+d (25 joints), coco (17), openpose (18) or handmp (21)."""

    def __init__(self, layout: str = "nturgb+d") -> None:
        super().__init__(pyskl_skeleton(layout))
