"""A skeleton with virtual joints (Hyper-GCN, section 3): each of them is linked to all joints."""

from __future__ import annotations

import numpy as np

from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import Skeleton, symmetric_adjacency

HEADS = 8  # each has the same to begin with


class VirtualGraph:
    """What a model reads of a skeleton.

    Attributes:
        skeleton: the joints. num_node: V. num_hyper: h.
        A: (8, U, U) float64, U = V + h vertices, symmetric: ones where two joints are linked, where one of two vertices
            is virtual and the other is not, and from each vertex to itself.
    """

    def __init__(self, skeleton: Skeleton, hyper_joints: int, labeling_mode: str) -> None:
        if labeling_mode != "virtual_ensemble":
            raise UserError(f"graph_args: labeling_mode '{labeling_mode}' does not fit this model; use "
                            "'virtual_ensemble'")
        self.skeleton, self.num_node, self.num_hyper = skeleton, skeleton.num_joints, hyper_joints
        links = np.ones((self.num_node + hyper_joints,) * 2)
        links[:self.num_node, :self.num_node] = np.eye(self.num_node) + symmetric_adjacency(skeleton)
        links[self.num_node:, self.num_node:] = np.eye(hyper_joints)
        self.A = np.stack([links] * HEADS)
