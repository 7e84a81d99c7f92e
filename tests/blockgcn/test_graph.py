"""The graphs of the BlockGCN tree: how many bones lie between two joints."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.errors import UserError

# pairs of joints by the bones between them, from 0 on
PAIRS = {"graph.ntu_rgb_d.Graph": (25, 48, 58, 60, 66, 72, 80, 72, 56, 40, 32, 16),
         "graph.ucla.Graph": (20, 38, 44, 46, 52, 56, 48, 44, 28, 16, 8)}


@pytest.mark.parametrize("dotted", PAIRS)
def test_hops_are_the_published_ones(tree, dotted):
    graph = tree.load(dotted)()
    assert tuple(np.bincount(graph.hops.ravel())) == PAIRS[dotted]
    assert (graph.hops == graph.hops.T).all() and len(graph.hops) == graph.num_node


def test_the_hands_of_ntu_hang_as_published(tree):
    """Tips and thumbs both hang on the hand, where CTR-GCN's tips hang on the thumbs."""
    hops = tree.load("graph.ntu_rgb_d.Graph")().hops
    assert [hops[joint - 1, hand - 1] for joint, hand in ((22, 8), (23, 8), (24, 12), (25, 12))] == [1, 1, 1, 1]
    assert hops[21, 22] == hops[23, 24] == 2


def test_other_partitions_are_refused(tree):
    with pytest.raises(UserError, match="labeling_mode 'distance'"):
        tree.load("graph.ntu_rgb_d.Graph")(labeling_mode="distance")
