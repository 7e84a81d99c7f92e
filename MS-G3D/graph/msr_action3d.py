"""The skeleton of MSR-Action3D: 20 joints."""

from __future__ import annotations

from graph.tools import SymmetricGraph
from skeleton_lab.own_skeletons import MSR_ACTION3D_20

num_node = MSR_ACTION3D_20.num_joints


class AdjMatrixGraph(SymmetricGraph):
    """`graph.msr_action3d.AdjMatrixGraph`."""

    skeleton = MSR_ACTION3D_20
