"""Sets of joints, and from one to another by the tables."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.formats.joint_sets import _RULES, TARGETS, can_convert, joint_set, mapping_lines, to_joint_set
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import AZURE_32, BODY_25, BODY_25_HANDS, HALPE_26, JOINT_SETS, MEDIAPIPE_33, SMPL_24
from skeleton_lab.skeletons import COCO_17, HAND_21, NTU_25

LOST, MIDDLE_OF_BASE_AND_TOP, THIRD = None, (0, 20), "third"
# Of each of NTU's joints: the joint of the source, or two of which it is the middle.
TO_NTU_25 = [
    (COCO_17, [(11, 12), MIDDLE_OF_BASE_AND_TOP, THIRD, (3, 4), 5, 7, 9, LOST, 6, 8, 10, LOST, 11, 13, 15, LOST, 12, 14,
               16, LOST, (5, 6), LOST, LOST, LOST, LOST]),
    (BODY_25, [8, MIDDLE_OF_BASE_AND_TOP, THIRD, (17, 18), 5, 6, 7, LOST, 2, 3, 4, LOST, 12, 13, 14, 19, 9, 10, 11, 22,
               1, LOST, LOST, LOST, LOST]),
    (BODY_25_HANDS, [8, MIDDLE_OF_BASE_AND_TOP, THIRD, (17, 18), 5, 6, 7, 34, 2, 3, 4, 55, 12, 13, 14, 19, 9, 10, 11,
                     22, 1, 37, 29, 58, 50]),
    (MEDIAPIPE_33, [(23, 24), MIDDLE_OF_BASE_AND_TOP, THIRD, (7, 8), 11, 13, 15, (17, 19), 12, 14, 16, (18, 20), 23,
                    25, 27, 31, 24, 26, 28, 32, (11, 12), 19, 21, 20, 22]),
    (AZURE_32, [0, 1, 3, 26, 5, 6, 7, 8, 12, 13, 14, 15, 18, 19, 20, 21, 22, 23, 24, 25, (4, 11), 9, 10, 16, 17]),
    (SMPL_24, [0, 6, (12, 15), 15, 16, 18, 20, 22, 17, 19, 21, 23, 1, 4, 7, 10, 2, 5, 8, 11, 12, LOST, LOST, LOST,
               LOST]),
]
TO_COCO_17 = [
    (NTU_25, [3, LOST, LOST, LOST, LOST, 4, 8, 5, 9, 6, 10, 12, 16, 13, 17, 14, 18]),
    (BODY_25, [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11]),
    (MEDIAPIPE_33, [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]),
    (AZURE_32, [27, 28, 30, 29, 31, 5, 12, 6, 13, 7, 14, 18, 22, 19, 23, 20, 24]),
    (SMPL_24, [15, LOST, LOST, LOST, LOST, 16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]),
    (HALPE_26, list(range(17))),
]


@pytest.mark.parametrize(("source", "target", "table"), [
    *((source, NTU_25, table) for source, table in TO_NTU_25),
    *((source, COCO_17, table) for source, table in TO_COCO_17)], ids=lambda value: getattr(value, "name", ""))
def test_tables(source, target, table) -> None:
    rng = np.random.default_rng(0)
    joints, sure = rng.normal(size=(3, 2, source.num_joints, 3)), rng.uniform(0.1, 1, (3, 2, source.num_joints))
    made, made_sure = to_joint_set(joints, sure, source, target)
    assert made.shape == (3, 2, target.num_joints, 3) and made_sure.shape == made.shape[:3]
    for joint, entry in enumerate(table):
        if entry is LOST:
            expected, known = made[..., target.parents[joint], :], np.zeros((3, 2))
        elif entry is THIRD:
            expected = made[..., 20, :] + (made[..., 3, :] - made[..., 20, :]) / 3
            known = made_sure[..., [3, 20]].min(axis=2)
        else:
            own = entry is MIDDLE_OF_BASE_AND_TOP
            places = list(entry) if isinstance(entry, tuple) else [entry]
            expected = (made if own else joints)[..., places, :].mean(axis=2)
            known = (made_sure if own else sure)[..., places].min(axis=2)
        np.testing.assert_allclose(made[..., joint, :], expected, atol=1e-12)
        np.testing.assert_array_equal(made_sure[..., joint], known)


def test_a_middle_is_absent_where_one_of_the_two_is() -> None:
    joints, sure = np.ones((1, 17, 2)), np.ones((1, 17))
    sure[0, [3, 11]] = 0
    joints[0, 0] = 7
    made, known = to_joint_set(joints, sure, COCO_17, NTU_25)
    assert known[0, 0] == 0 and not made[0, 0].any() and known[0, 1] == 0  # the hips' middle, and the spine's with it
    assert known[0, 3] == 1 and made[0, 3].tolist() == [7, 7]  # an ear is missing: the nose stands for the head
    joints[0, 11] = 0
    assert to_joint_set(joints, None, COCO_17, NTU_25)[1][0, 0] == 0


def test_every_table_leads_somewhere_and_is_told() -> None:
    for name, target in TARGETS.items():
        for source, _ in _RULES[name]:
            assert not mapping_lines(source, target) or source.name in mapping_lines(source, target)[0] or \
                mapping_lines(source, target)[0].startswith("lost")
            made, _ = to_joint_set(np.ones((1, source.num_joints, 3)), None, source, target)
            assert (made == 1).all()
    assert not can_convert(HAND_21, NTU_25)
    with pytest.raises(UserError, match=r"no table leads from the joints of hand \(21 joints\) to NTU"):
        to_joint_set(np.ones((1, 21, 2)), None, HAND_21, NTU_25)
    with pytest.raises(UserError, match=r"--joints body26: no such set of joints; did you mean .body25.\?; choose"):
        joint_set("body26")
    assert joint_set("body25") is BODY_25 and joint_set("skeleton_lab.skeletons.COCO_17") is COCO_17
    with pytest.raises(UserError, match="is no Skeleton"):
        joint_set("skeleton_lab.skeletons.Edge")


def test_sets_are_trees_of_the_size_their_names_say() -> None:
    for name, skeleton in JOINT_SETS.items():
        assert len(set(skeleton.joint_names)) == skeleton.num_joints == len(skeleton.edges) + 1
        assert len(skeleton.left) == len(skeleton.right)
        assert name == "body25hands" or str(skeleton.num_joints) in name
        for joint in range(skeleton.num_joints):  # the root can be reached from everywhere
            for _ in range(skeleton.num_joints):
                joint = skeleton.parents[joint]
            assert joint == skeleton.root
    assert [BODY_25.joint_names.index(name) for name in ("mid hip", "left ear", "right heel")] == [8, 18, 24]
    assert [HALPE_26.joint_names.index(name) for name in ("head top", "neck", "mid hip", "right heel")] == \
        [17, 18, 19, 25]
