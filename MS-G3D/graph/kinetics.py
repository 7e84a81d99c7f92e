"""The OpenPose skeleton of Kinetics-Skeleton: 18 joints."""

from __future__ import annotations

from graph.tools import SymmetricGraph
from skeleton_lab.skeletons import OPENPOSE_18

num_node = OPENPOSE_18.num_joints


class AdjMatrixGraph(SymmetricGraph):
    """`graph.kinetics.AdjMatrixGraph`."""

    skeleton = OPENPOSE_18
