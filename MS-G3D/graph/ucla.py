"""The skeleton of NW-UCLA: 20 joints."""

from __future__ import annotations

from graph.tools import SymmetricGraph
from skeleton_lab.skeletons import UCLA_20

num_node = UCLA_20.num_joints


class AdjMatrixGraph(SymmetricGraph):
    """`graph.ucla.AdjMatrixGraph`."""

    skeleton = UCLA_20
