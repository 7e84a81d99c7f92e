"""Helpers for writing a graph class of one's own; the names are those that published graph modules import.

Edges are 0-based (source, target) pairs; matrices are (V, V), indexed [target, source].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import (
    Edge,
    Skeleton,
    edge_matrix,
    k_adjacency,
    normalize_columns,
    normalize_symmetric,
)

__all__ = ["SpatialGraph", "edge2mat", "get_spatial_graph", "k_adjacency", "normalize_adjacency_matrix",
           "normalize_digraph"]


class SpatialGraph:
    """A skeleton as the models read it.

    Attributes:
        skeleton: the joints. num_node: V. self_link, inward, outward, neighbor: lists of (source, target).
        A: (3, V, V) float64, see `skeleton_lab.skeletons.spatial_adjacency`.
    """

    def __init__(self, skeleton: Skeleton, labeling_mode: str = "spatial") -> None:
        if labeling_mode != "spatial":
            raise UserError(f"graph_args: labeling_mode '{labeling_mode}' does not exist; use 'spatial'")
        self.skeleton = skeleton
        self.num_node = skeleton.num_joints
        self.self_link = [(joint, joint) for joint in range(self.num_node)]
        self.inward = list(skeleton.edges)
        self.outward = [(parent, child) for child, parent in self.inward]
        self.neighbor = self.inward + self.outward
        self.A = get_spatial_graph(self.num_node, self.self_link, self.inward, self.outward)


def edge2mat(link: Sequence[Edge], num_node: int) -> np.ndarray:
    """Return (V, V) float64 with a one for every edge."""
    return edge_matrix(link, num_node)


def normalize_digraph(A: np.ndarray) -> np.ndarray:
    """Divide every column by its sum."""
    return normalize_columns(A)


def normalize_adjacency_matrix(A: np.ndarray) -> np.ndarray:
    """Return D^-1/2 A D^-1/2 as float32."""
    return normalize_symmetric(A).astype(np.float32)


def get_spatial_graph(num_node: int, self_link: Sequence[Edge], inward: Sequence[Edge],
                      outward: Sequence[Edge]) -> np.ndarray:
    """Return (3, V, V) float64: self-links as they are, inward and outward edges normalised by column."""
    return np.stack([edge_matrix(self_link, num_node), normalize_columns(edge_matrix(inward, num_node)),
                     normalize_columns(edge_matrix(outward, num_node))])
