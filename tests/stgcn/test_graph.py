"""The graphs of the ST-GCN tree: the paper's three subsets, each a mean."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25, UCLA_20, hop_distance, symmetric_adjacency


@pytest.mark.parametrize(("dotted", "skeleton"), [("graph.ntu_rgb_d.Graph", NTU_25), ("graph.ucla.Graph", UCLA_20)])
def test_subsets_are_told_apart_by_their_distance_to_the_root(tree, dotted, skeleton):
    graph = tree.load(dotted)()
    hops = hop_distance(symmetric_adjacency(skeleton))
    to_root = hops[:, skeleton.root]
    expected = np.zeros((3, skeleton.num_joints, skeleton.num_joints))
    for target in range(skeleton.num_joints):
        neighbours = [source for source in range(skeleton.num_joints) if hops[target, source] <= 1]
        for subset, sign in enumerate((0, -1, 1)):
            chosen = [source for source in neighbours if np.sign(to_root[source] - to_root[target]) == sign]
            for source in chosen:
                expected[subset, target, source] = 1 / len(chosen)
    np.testing.assert_allclose(graph.A, expected)
    assert graph.num_node == skeleton.num_joints


def test_other_partitions_are_refused(tree):
    with pytest.raises(UserError, match="labeling_mode 'uniform'"):
        tree.load("graph.ntu_rgb_d.Graph")(labeling_mode="uniform")
