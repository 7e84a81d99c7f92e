"""The NW-UCLA skeleton: 20 joints, rooted at the shoulder centre."""

from __future__ import annotations

from graph.tools import SpatialGraph
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import UCLA_20

num_node = UCLA_20.num_joints


class Graph(SpatialGraph):
    """`graph.ucla.Graph(labeling_mode='spatial')`; `scale` is read from published configurations and must be 1."""

    def __init__(self, labeling_mode: str = "spatial", scale: int = 1) -> None:
        if scale != 1:
            raise UserError(f"graph_args: scale {scale} is not supported; leave it at 1")
        super().__init__(UCLA_20, labeling_mode)
