"""The skeleton of UTD-MHAD: 20 joints."""

from __future__ import annotations

from graph.tools import SymmetricGraph
from skeleton_lab.own_skeletons import UTD_MHAD_20

num_node = UTD_MHAD_20.num_joints


class AdjMatrixGraph(SymmetricGraph):
    """`graph.utd_mhad.AdjMatrixGraph`."""

    skeleton = UTD_MHAD_20
