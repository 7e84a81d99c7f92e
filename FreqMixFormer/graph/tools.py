"""The matrices that FreqMixFormer reads of a skeleton: neighbours, and which joint to take away from which."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import Edge, Skeleton, edge_matrix, normalize_columns


class SpatialGraph:
    """What a model reads of a skeleton.

    Attributes:
        skeleton: the joints. num_node: V.
        A: (3, V, V) float64, indexed [source, target]: a joint itself, then along the edges and against them; columns
            are means.
        H: (V, V) float64: ones along the edges, indexed [joint, what one hop takes away from it].
    """

    def __init__(self, skeleton: Skeleton, edges: Iterable[Edge], labeling_mode: str = "spatial") -> None:
        """Build the matrices of `edges`, (target, source) pairs in the direction that the published lists have."""
        if labeling_mode != "spatial":
            raise UserError(f"graph_args: labeling_mode '{labeling_mode}' does not exist; use 'spatial'")
        self.skeleton = skeleton
        self.num_node = skeleton.num_joints
        self.H: np.ndarray = edge_matrix([(source, target) for target, source in edges], self.num_node)
        self.A: np.ndarray = np.stack([np.eye(self.num_node), normalize_columns(self.H), normalize_columns(self.H.T)])
