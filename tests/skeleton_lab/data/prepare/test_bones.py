"""Bone files: the published pairs of joints, all channels, whole or not at all."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from skeleton_lab.data.formats import archive
from skeleton_lab.data.prepare.bones import write_bone
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18, Skeleton

# (joint, reference), as the papers' code publishes them: NTU counts from 1, Kinetics from 0.
NTU_PAIRS = ((1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11),
             (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (21, 21), (22, 23), (23, 8),
             (24, 25), (25, 12))
KINETICS_PAIRS = ((0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 6), (8, 2), (9, 8), (10, 9), (11, 5),
                  (12, 11), (13, 12), (14, 0), (15, 0), (16, 14), (17, 15))


@pytest.mark.parametrize(("skeleton", "pairs", "first"), [(NTU_25, NTU_PAIRS, 1), (OPENPOSE_18, KINETICS_PAIRS, 0)],
                         ids=["NTU", "Kinetics"])
def test_each_bone_is_the_joint_minus_its_reference(tmp_path, monkeypatch, skeleton, pairs, first):
    monkeypatch.setattr(archive, "read_blocks", partial(archive.read_blocks, max_bytes=6000))  # several blocks
    joints = np.random.default_rng(0).normal(size=(5, 3, 4, skeleton.num_joints, 2)).astype(np.float32)
    np.save(tmp_path / "joint.npy", joints)
    write_bone(tmp_path / "joint.npy", tmp_path / "new" / "bone.npy", skeleton)
    bones = np.load(tmp_path / "new" / "bone.npy")
    assert bones.dtype == np.float32 and bones.shape == joints.shape
    for joint, reference in pairs:
        expected = joints[:, :, :, joint - first] - joints[:, :, :, reference - first]
        np.testing.assert_array_equal(bones[:, :, :, joint - first], expected)


@pytest.mark.parametrize("array", [np.zeros((2, 3, 4, 18, 2), np.float32), np.zeros((2, 3, 4, 25), np.float32),
                                   np.zeros((2, 3, 4, 25, 2), np.int32)])
def test_another_shape_or_type_is_refused(tmp_path, array):
    np.save(tmp_path / "joint.npy", array)
    with pytest.raises(UserError, match=r"joint\.npy: .* not joints \(N, C, T, V=25, M\)"):
        write_bone(tmp_path / "joint.npy", tmp_path / "bone.npy", NTU_25)
    assert not (tmp_path / "bone.npy").exists()


def test_a_truncated_joint_file_leaves_the_old_bones_alone(tmp_path):
    np.save(tmp_path / "joint.npy", np.ones((4, 3, 4, 25, 2), np.float32))
    content = (tmp_path / "joint.npy").read_bytes()
    (tmp_path / "joint.npy").write_bytes(content[:-100])
    (tmp_path / "bone.npy").write_bytes(b"old")
    with pytest.raises(UserError, match=r"joint\.npy.* truncated"):
        write_bone(tmp_path / "joint.npy", tmp_path / "bone.npy", NTU_25)
    assert (tmp_path / "bone.npy").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bone.npy", "joint.npy"]


def test_bones_of_flat_skeletons_of_ones_own_have_the_mean_of_two_scores(tmp_path):
    flat = Skeleton("three points", ("chest", "head", "hand"), ((1, 0), (2, 0)), root=0, flat=True)
    joints = np.zeros((1, 3, 1, 3, 1), np.float32)
    joints[0, :, 0, :, 0] = [[1, 2, 5], [10, 20, 50], [0.5, 0.9, 0.1]]  # x, y, score of the three
    np.save(tmp_path / "joint.npy", joints)
    write_bone(tmp_path / "joint.npy", tmp_path / "bone.npy", flat)
    np.testing.assert_allclose(np.load(tmp_path / "bone.npy")[0, :, 0, :, 0], [[0, 1, 4], [0, 10, 40], [0.5, 0.7, 0.3]],
                               rtol=1e-6)
