"""Skeletons and adjacency builders."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab import skeletons
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18, SKELETONS, UCLA_20

every_skeleton = pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda s: s.name)


@every_skeleton
def test_is_a_tree(skeleton):
    v = skeleton.num_joints
    assert len(set(skeleton.joint_names)) == v
    assert sorted(child for child, _ in skeleton.edges) == [joint for joint in range(v) if joint != skeleton.root]
    for joint in range(v):
        for _ in range(v):
            joint = skeleton.parents[joint]
        assert joint == skeleton.root


@every_skeleton
def test_every_joint_has_one_bone(skeleton):
    assert [joint for joint, _ in skeleton.bones] == list(range(skeleton.num_joints))
    assert (skeleton.root, skeleton.root) in skeleton.bones
    assert set(skeleton.bones) - {(skeleton.root, skeleton.root)} == set(skeleton.edges)


@every_skeleton
def test_sides_mirror_each_other(skeleton):
    mirrored = [skeleton.joint_names[joint].replace("left", "right") for joint in skeleton.left]
    assert mirrored == [skeleton.joint_names[joint] for joint in skeleton.right]
    middle = [n for n in skeleton.joint_names if not n.startswith(("left", "right"))]
    assert len(skeleton.left) * 2 + len(middle) == skeleton.num_joints
    partner = dict(zip(skeleton.left + skeleton.right, skeleton.right + skeleton.left, strict=True))
    for child, parent in skeleton.edges:  # the mirror image of the tree is the tree
        if child in partner and parent in partner:
            assert (partner[child], partner[parent]) in skeleton.edges


def test_facts():
    assert (NTU_25.num_joints, NTU_25.root, UCLA_20.num_joints, UCLA_20.root) == (25, 20, 20, 2)
    assert (20, 20) in NTU_25.bones and (2, 2) in UCLA_20.bones and (0, 0) in OPENPOSE_18.bones
    assert NTU_25.parents[21] == 22 and NTU_25.parents[24] == 11
    assert OPENPOSE_18.parents[:3] == (0, 0, 1) and OPENPOSE_18.parents[8] == 2
    assert skeletons.skeleton_with(18) is OPENPOSE_18
    with pytest.raises(UserError, match="16 joints"):
        skeletons.skeleton_with(16)


def test_diameters():
    diameters = [skeletons.hop_distance(skeletons.symmetric_adjacency(s)).max() for s in SKELETONS]
    assert diameters == [12, 10, 8, 8, 8]


def test_hop_distance_of_a_directed_chain():
    chain = skeletons.edge_matrix([(0, 1), (1, 2)], 4)  # 0 -> 1 -> 2, and 3 apart
    distance = skeletons.hop_distance(chain)
    assert distance[2, 0] == 2 and distance[1, 0] == 1 and np.isinf(distance[0, 2]) and np.isinf(distance[3, 0])
    assert np.array_equal(np.diag(distance), np.zeros(4))


@every_skeleton
def test_k_adjacency_is_the_difference_of_powers(skeleton):
    links = skeletons.symmetric_adjacency(skeleton)
    eye = np.eye(skeleton.num_joints)
    for k in (1, 2, 5):
        reach = [np.minimum(np.linalg.matrix_power((links + eye).astype(np.int64), hops), 1) for hops in (k - 1, k)]
        assert np.array_equal(skeletons.k_adjacency(links, k), reach[1] - reach[0] + eye)
        assert np.array_equal(skeletons.k_adjacency(links, k, with_self=False), reach[1] - reach[0])
    assert np.array_equal(skeletons.k_adjacency(links, 0), eye)
    assert np.array_equal(skeletons.k_adjacency(links, 99), eye)


def test_normalisation():
    links = skeletons.symmetric_adjacency(NTU_25)
    links[3] = links[:, 3] = 0  # a joint without links
    columns = skeletons.normalize_columns(links)
    assert np.allclose(np.delete(columns.sum(axis=0), 3), 1) and columns[:, 3].sum() == 0
    degrees = links.sum(axis=1)
    symmetric = skeletons.normalize_symmetric(links)
    for target, source in np.argwhere(links):
        assert symmetric[target, source] == pytest.approx(1 / np.sqrt(degrees[target] * degrees[source]))
    assert skeletons.normalize_symmetric(links.astype(np.float32)).dtype == np.float32
    assert skeletons.k_adjacency(links.astype(np.float32), 2).dtype == np.float32


def test_inverse_roots_are_the_same_on_every_machine():
    """Nearest float32, but for the two degrees whose neighbours the published figures hold."""
    degrees = np.arange(1, 40, dtype=np.float32)
    exact = degrees.astype(np.float64) ** -0.5
    off = (skeletons.inverse_roots(degrees) - exact) / np.spacing(exact.astype(np.float32))
    assert {int(degree): round(by, 2) for degree, by in zip(degrees, off, strict=True) if abs(by) > 0.5} == \
        {6: -0.5, 7: 0.79}
    assert np.array_equal(skeletons.inverse_roots(np.array([0, 4.0])), [1, 0.5])
