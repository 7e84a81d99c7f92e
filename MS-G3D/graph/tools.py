"""What graph classes are written with: the base class, and matrix helpers under the names published modules import.

Edges are 0-based (source, target) pairs; matrices are (V, V), indexed [target, source].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skeleton_lab.skeletons import Skeleton, symmetric_adjacency
from skeleton_lab.skeletons import edge_matrix as edge2mat
from skeleton_lab.skeletons import k_adjacency as k_adjacency
from skeleton_lab.skeletons import normalize_columns as normalize_digraph
from skeleton_lab.skeletons import normalize_symmetric as normalize_adjacency_matrix

__all__ = ["SymmetricGraph", "edge2mat", "k_adjacency", "normalize_adjacency_matrix", "normalize_digraph"]


class SymmetricGraph:
    """A skeleton as MS-G3D reads it. The constructor takes any arguments and ignores them.

    Attributes:
        skeleton: the joints. num_nodes: V.
        edges: (source, target) pairs, each link both ways. self_loops: (joint, joint) pairs.
        A_binary: (V, V) float32, ones where two joints are linked, no self-links.
        A_binary_with_I: the same with self-links.
    """

    skeleton: Skeleton

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.num_nodes = self.skeleton.num_joints
        towards_root = list(self.skeleton.edges)
        self.edges = towards_root + [(parent, child) for child, parent in towards_root]
        self.self_loops = [(joint, joint) for joint in range(self.num_nodes)]
        self.A_binary = symmetric_adjacency(self.skeleton).astype(np.float32)
        self.A_binary_with_I = self.A_binary + np.eye(self.num_nodes, dtype=np.float32)
