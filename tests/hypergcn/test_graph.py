"""The graphs of the Hyper-GCN tree: bones, virtual joints, and hands that other trees link otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25

NTU = ("1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19 22-8 "
       "23-8 24-12 25-12")
UCLA = "1-2 2-3 4-3 5-3 6-5 7-6 8-7 9-3 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19"


@pytest.mark.parametrize("hyper", [0, 3])
@pytest.mark.parametrize(("dotted", "bones", "joints"), [("graph.ntu_rgb_d.Graph", NTU, 25),
                                                         ("graph.ucla.Graph", UCLA, 20)])
def test_links(tree, dotted, bones, joints, hyper):
    graph = tree.load(dotted)(hyper, labeling_mode="virtual_ensemble")
    expected = np.eye(joints + hyper)
    for bone in bones.split():
        child, parent = (int(joint) - 1 for joint in bone.split("-"))
        expected[child, parent] = expected[parent, child] = 1
    expected[joints:, :joints] = expected[:joints, joints:] = 1
    assert graph.A.shape == (8, joints + hyper, joints + hyper)
    assert all(np.array_equal(head, expected) for head in graph.A)
    assert (graph.num_node, graph.num_hyper) == (joints, hyper)


def test_other_trees_keep_their_hands(tree):
    assert dict(tree.load("graph.ntu_rgb_d.SKELETON").edges)[21] == 7
    assert dict(NTU_25.edges)[21] == 22


@pytest.mark.parametrize("mode", ["spatial", "spatial_ensemble", "virtual_spatial"])
def test_other_modes_are_refused(tree, mode):
    with pytest.raises(UserError, match=f"labeling_mode '{mode}'"):
        tree.load("graph.ntu_rgb_d.Graph")(3, labeling_mode=mode)
