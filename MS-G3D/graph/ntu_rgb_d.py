"""The NTU RGB+D skeleton: 25 joints."""

from __future__ import annotations

from typing import Any

from graph.tools import SymmetricGraph, normalize_adjacency_matrix
from skeleton_lab.skeletons import NTU_25

num_node = NTU_25.num_joints


class AdjMatrixGraph(SymmetricGraph):
    """`graph.ntu_rgb_d.AdjMatrixGraph`; also has `A`, `A_binary` normalised symmetrically, (25, 25) float32."""

    skeleton = NTU_25

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.A = normalize_adjacency_matrix(self.A_binary)
