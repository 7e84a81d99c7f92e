"""ProtoGCN's clips against definitions written out: grandparents, swapped sides, dropped limbs, mirrored pictures."""

from __future__ import annotations

import random

import numpy as np
import pytest

from skeleton_lab.errors import UserError
from tests.pyskl_files import PICTURE, converted, made_clips

K_NTU = dict([(0, 20), (1, 1), (2, 2), (3, 20), (4, 4), (5, 20), (6, 4), (7, 5), (8, 8), (9, 20), (10, 8), (11, 9),
              (12, 1), (13, 0), (14, 12), (15, 13), (16, 1), (17, 0), (18, 16), (19, 17), (20, 20), (21, 7), (22, 6),
              (23, 11), (24, 10)])
B_COCO = dict([(0, 19), (1, 0), (2, 0), (3, 1), (4, 2), (5, 19), (6, 19), (7, 5), (8, 6), (9, 7), (10, 8), (11, 17),
               (12, 17), (13, 11), (14, 12), (15, 13), (16, 14), (17, 18), (18, 19), (19, 19)])
K_COCO = dict([(0, 0), (1, 19), (2, 19), (3, 0), (4, 0), (5, 5), (6, 6), (7, 19), (8, 19), (9, 5), (10, 6), (11, 18),
               (12, 18), (13, 17), (14, 17), (15, 11), (16, 12), (17, 19), (18, 18), (19, 19)])
SWAPPED = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22]
MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 17, 18, 19]
LIMBS = [{4, 5, 6, 7, 21, 22}, {12, 13, 14, 15}, {8, 9, 10, 11, 23, 24}, {16, 17, 18, 19}]
SPATIAL = {"normalize": {"align_spine": False}, "decode": True, "clip_len": 16}
FLAT = {"normalize": {"mode": "none"}, "decode": True, "middles": True, "clip_len": 16}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Archives of clips in space and of pictures, and what they were made of."""
    folder, made = tmp_path_factory.mktemp("archives"), {}
    for name, joints, flat in (("space", 25, False), ("flat", 17, True)):
        entries = made_clips(4, joints, flat)
        made[name] = str(converted(folder / f"{name}.npz", entries)), entries
    return made


def clips(tree, archive: str, **options) -> np.ndarray:
    """All clips as a batch, (N, C, T, V, M), from the same draws of frames."""
    np.random.seed(3)
    random.seed(3)
    feeder = tree.load("feeders.feeder_pyskl.Feeder")(archive, **options)
    return feeder.get_batch(range(len(feeder)))[0].numpy().astype(np.float64)


def relative(joints: np.ndarray, others: dict[int, int], score: bool = False) -> np.ndarray:
    ends = joints[:, :, :, [others[joint] for joint in range(len(others))]]
    made = joints - ends
    if score:
        made[:, 2] = (joints[:, 2] + ends[:, 2]) / 2
    return made


def test_features_in_space(tree, archives):
    archive, entries = archives["space"]
    joints = clips(tree, archive, **SPATIAL)
    np.testing.assert_allclose(clips(tree, archive, feats="k", **SPATIAL), relative(joints, K_NTU), atol=2e-3)  # halves
    whole = {**SPATIAL, "clip_len": 12}  # motion is that of the recording, of which these are frames one after another
    first = clips(tree, archive, feats=["k", "km"], **{**whole, "pad_to": 40})
    k, motion = first[:, :3], first[:, 3:]
    for n, entry in enumerate(entries):
        frames = entry["keypoint"].shape[1]
        np.testing.assert_allclose(motion[n, :, :frames - 1], k[n, :, 1:frames] - k[n, :, :frames - 1], atol=2e-3)
        assert not motion[n, :, frames - 1:].any()


def test_features_of_pictures(tree, archives):
    archive, entries = archives["flat"]
    options = {**FLAT, "pad_to": 40}
    joints, bones, k, motion = (clips(tree, archive, feats=feat, **options) for feat in ("j", "b", "k", "jm"))
    np.testing.assert_array_equal(joints[0, :2, :5, :17, 0].transpose(1, 2, 0), entries[0]["keypoint"][0, :5])  # pixels
    np.testing.assert_array_equal(joints[0, 2, :5, :17, 0], entries[0]["keypoint_score"][0, :5])
    np.testing.assert_allclose(joints[:, :, :, 17], (joints[:, :, :, 11] + joints[:, :, :, 12]) / 2, rtol=1e-6)
    np.testing.assert_allclose(joints[:, :, :, 19], (joints[:, :, :, 5] + joints[:, :, :, 6]) / 2, rtol=1e-6)
    np.testing.assert_allclose(joints[:, :, :, 18], (joints[:, :, :, 17] + joints[:, :, :, 19]) / 2, rtol=1e-6)
    np.testing.assert_allclose(bones, relative(joints, B_COCO, score=True), atol=1e-3)
    np.testing.assert_allclose(k, relative(joints, K_COCO), atol=1e-3)  # of a score the difference
    frames = entries[0]["keypoint"].shape[1]
    np.testing.assert_allclose(motion[0, :, :frames - 1], np.diff(joints[0], axis=1)[:, :frames - 1], atol=1e-3)


def test_sides_change_places_and_coordinates_stay(tree, archives):
    archive, _ = archives["space"]
    joints = clips(tree, archive, **SPATIAL)
    np.testing.assert_array_equal(clips(tree, archive, random_swap=1, **SPATIAL), joints[:, :, :, SWAPPED])
    some = clips(tree, archive, random_swap=0.5, **SPATIAL)
    swapped = [bool((clip != own).any()) for clip, own in zip(some, joints, strict=True)]
    random.seed(3)
    assert swapped == [random.random() < 0.5 for _ in joints] and 0 < sum(swapped) < len(joints)


def test_a_limb_is_at_zero_before_features_are_made(tree, archives):
    archive, _ = archives["space"]
    joints = clips(tree, archive, **SPATIAL)
    dropped, k = (clips(tree, archive, feats=feat, random_drop=1, **SPATIAL) for feat in ("j", "k"))
    for own, clip in zip(joints, dropped, strict=True):
        gone = {joint for joint in range(25) if own[:, :, joint].any() and not clip[:, :, joint].any()}
        assert gone in LIMBS
        others = [joint for joint in range(25) if joint not in gone]
        np.testing.assert_array_equal(clip[:, :, others], own[:, :, others])
    np.testing.assert_allclose(k, relative(dropped, K_NTU), atol=2e-3)


def test_pictures_are_mirrored(tree, archives):
    archive, _ = archives["flat"]
    joints, mirrored = (clips(tree, archive, random_mirror=share, **FLAT) for share in (0, 1))
    expected = joints[:, :, :, MIRRORED]
    there = expected[:, 2] != 0
    expected[:, 0][there] = PICTURE[1] - expected[:, 0][there]
    np.testing.assert_allclose(mirrored, expected, atol=1e-3)


def test_batches_are_single_clips(tree, archives):
    options = {**SPATIAL, "random_rot": 0.2, "random_swap": 0.5, "random_drop": 0.5}
    feeder = tree.load("feeders.feeder_pyskl.Feeder")(archives["space"][0], feats=["k"], **options)
    found = []
    for ask in (lambda: feeder.get_batch([3, 0, 2])[0].numpy(), lambda: np.stack([feeder[n][0] for n in (3, 0, 2)])):
        np.random.seed(5)
        random.seed(5)
        found.append(ask())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("name", "options", "told"), [
    ("space", {"middles": True}, "middles is not for clips of 25"), ("flat", {"feats": "k"}, "without middles"),
    ("flat", {"random_drop": 0.1}, "random_drop"), ("space", {"random_mirror": 0.5}, "random_mirror"),
    ("space", {"random_swap": 2}, "random_swap=2"), ("space", {"feats": "q"}, "choose of j, b, k, jm, bm, km")])
def test_options_are_refused_in_one_line(tree, archives, name, options, told):
    with pytest.raises(UserError, match=told) as refused:
        tree.load("feeders.feeder_pyskl.Feeder")(archives[name][0], **options)
    assert "\n" not in str(refused.value)
