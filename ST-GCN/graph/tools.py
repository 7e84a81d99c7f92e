"""The three subsets of a joint's neighbours (ST-GCN, section 3.3, spatial configuration partitioning)."""

from __future__ import annotations

from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import Skeleton, spatial_adjacency


class SpatialGraph:
    """What a model reads of a skeleton.

    Attributes:
        skeleton: the joints. num_node: V.
        A: (3, V, V) float64, indexed [subset, target, source]: a joint itself; its neighbour towards the root; those
            away from it. Every row is a mean over the subset, or zero where the subset is empty.
    """

    def __init__(self, skeleton: Skeleton, labeling_mode: str = "spatial") -> None:
        if labeling_mode != "spatial":
            raise UserError(f"graph_args: labeling_mode '{labeling_mode}' does not exist; use 'spatial'")
        self.skeleton = skeleton
        self.num_node = skeleton.num_joints
        # The engine's matrices divide by columns; seen from the other end of each edge, that is a mean for each target.
        self.A = spatial_adjacency(skeleton).transpose(0, 2, 1)
