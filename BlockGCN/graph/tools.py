"""How far joints are apart along the skeleton, which is all that BlockGCN reads of it."""

from __future__ import annotations

import numpy as np

from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import Skeleton, hop_distance, symmetric_adjacency


class SpatialGraph:
    """What a model reads of a skeleton.

    Attributes:
        skeleton: the joints. num_node: V.
        hops: (V, V) int64: bones on the shortest way between two joints.
    """

    def __init__(self, skeleton: Skeleton, labeling_mode: str = "spatial") -> None:
        if labeling_mode != "spatial":
            raise UserError(f"graph_args: labeling_mode '{labeling_mode}' does not exist; use 'spatial'")
        self.skeleton = skeleton
        self.num_node = skeleton.num_joints
        self.hops: np.ndarray = hop_distance(symmetric_adjacency(skeleton)).astype(np.int64)
