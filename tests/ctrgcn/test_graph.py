"""The graphs of the CTR-GCN tree."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25, UCLA_20

GRAPHS = [("graph.ntu_rgb_d.Graph", NTU_25), ("graph.ucla.Graph", UCLA_20)]


@pytest.mark.parametrize(("dotted", "skeleton"), GRAPHS)
def test_three_subsets(tree, dotted, skeleton):
    graph = tree.load(dotted)(labeling_mode="spatial")
    v = skeleton.num_joints
    itself, inward, outward = graph.A
    assert graph.A.shape == (3, v, v) and graph.A.dtype == np.float64
    assert np.array_equal(itself, np.eye(v))
    for child, parent in skeleton.edges:
        children = sum(p == parent for _, p in skeleton.edges)
        assert inward[parent, child] == 1
        assert outward[child, parent] == 1 / children
    assert np.count_nonzero(inward) == np.count_nonzero(outward) == v - 1


def test_ntu_root_has_four_children(tree):
    graph = tree.load("graph.ntu_rgb_d.Graph")()
    assert np.flatnonzero(graph.A[1][20]).tolist() == [1, 2, 4, 8]
    assert graph.A[2][:, 20].max() == 0.25


@pytest.mark.parametrize(("dotted", "skeleton"), GRAPHS)
def test_published_attributes(tree, dotted, skeleton):
    graph = tree.load(dotted)()
    v = skeleton.num_joints
    assert graph.num_node == v
    assert graph.self_link == [(joint, joint) for joint in range(v)]
    assert [(b, a) for a, b in graph.inward] == graph.outward
    assert graph.neighbor == graph.inward + graph.outward
    assert len(graph.inward) == v - 1


def test_unknown_options_are_refused(tree):
    with pytest.raises(UserError, match="labeling_mode 'uniform'"):
        tree.load("graph.ntu_rgb_d.Graph")(labeling_mode="uniform")
    with pytest.raises(UserError, match="scale 2"):
        tree.load("graph.ucla.Graph")(scale=2)


def test_tools_build_the_same_graph(tree):
    graph = tree.load("graph.ucla.Graph")()
    rebuilt = tree.load("graph.tools.get_spatial_graph")(graph.num_node, graph.self_link, graph.inward, graph.outward)
    assert np.array_equal(rebuilt, graph.A)
    symmetric = tree.load("graph.tools.normalize_adjacency_matrix")(graph.A[1] + graph.A[1].T)
    assert symmetric.dtype == np.float32 and np.allclose(symmetric, symmetric.T)
