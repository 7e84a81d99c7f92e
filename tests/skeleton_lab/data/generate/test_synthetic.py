"""Procedural recordings: reproducible, shaped like people, and told apart by movement only."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.formats.ntu import NTU60, SampleName
from skeleton_lab.data.generate import synthetic
from skeleton_lab.data.generate.synthetic_actions import ACTIONS, CHANNELS
from skeleton_lab.errors import UserError

STILL = synthetic.Sensor(noise_m=0, dropouts=0)
HEAD, SPINE, LEFT_FOOT, RIGHT_FOOT = 3, 1, 15, 19


def some_samples(num, actions=range(1, 61), seed=0):
    rng = np.random.default_rng(seed)
    return [SampleName(int(rng.integers(1, 18)), int(rng.integers(1, 4)), int(rng.integers(1, 41)),
                       int(rng.integers(1, 3)), action) for action in actions for _ in range(num)]


def test_a_recording_depends_on_name_and_seed_alone():
    samples = some_samples(1, actions=(1, 5, 60))
    first = [synthetic.make_clip(sample, 3) for sample in samples]
    again = [synthetic.make_clip(sample, 3) for sample in reversed(samples)][::-1]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0][0], synthetic.make_clip(samples[0], 4)[0])


@pytest.mark.parametrize("sample", some_samples(1), ids=str)
def test_every_action_is_a_plausible_recording(sample):
    clip = synthetic.make_clip(sample)
    num_frames, num_bodies = clip.shape[:2]
    assert clip.dtype == np.float32
    assert clip.shape[2:] == (25, 3)
    assert 32 <= num_frames <= 150
    assert num_bodies == (2 if sample.action % 5 == 0 else 1) == (2 if synthetic.is_shared(sample.action) else 1)
    assert np.isfinite(clip).all()
    assert 1.5 < clip[..., 2].mean() < 5  # metres in front of the camera
    assert (clip[..., HEAD, 1] > clip[..., LEFT_FOOT, 1]).all()
    height = clip[..., HEAD, 1] - np.minimum(clip[..., LEFT_FOOT, 1], clip[..., RIGHT_FOOT, 1])
    assert 1.2 < np.median(height) < 2.1


def test_lengths_vary_about_eighty_frames():
    lengths = [len(synthetic.make_clip(sample)) for sample in some_samples(6)]
    assert min(lengths) < 45
    assert max(lengths) > 120
    assert 72 < np.mean(lengths) < 88


def test_bones_keep_their_length_and_are_the_performers():
    kinematic = [(joint, parent) for joint, (parent, _) in synthetic.REST.items()]

    def bone_lengths(performer, action):
        clip = synthetic.make_clip(SampleName(1, 2, performer, 1, action), 0, STILL)[:, 0]
        lengths = np.stack([np.linalg.norm(clip[:, j] - clip[:, p], axis=-1) for j, p in kinematic], axis=1)
        np.testing.assert_allclose(lengths, lengths[:1].repeat(len(clip), axis=0), atol=1e-5)
        return lengths[0]

    np.testing.assert_allclose(bone_lengths(7, 1), bone_lengths(7, 13), atol=1e-5)
    assert np.abs(bone_lengths(7, 1) - bone_lengths(8, 1)).max() > 0.005
    assert sorted(joint for joint, _ in kinematic) == list(range(1, 25))


def test_cameras_see_the_same_performance():
    views = [synthetic.make_clip(SampleName(2, camera, 9, 1, 4), 0, STILL) for camera in (1, 2, 3)]
    between = [np.linalg.norm(view[:, 0, :, None] - view[:, 0, None], axis=-1) for view in views]  # (T, V, V)
    np.testing.assert_allclose(between[0], between[1], atol=1e-4)
    np.testing.assert_allclose(between[0], between[2], atol=1e-4)
    across = [np.degrees(np.arctan2(*(view[0, 0, 8] - view[0, 0, 4])[[2, 0]])) for view in views]
    assert 20 < abs(across[1] - across[0]) < 70
    assert 20 < abs(across[2] - across[0]) < 70


def test_sensor_adds_noise_and_holds_lost_limbs():
    sample = SampleName(1, 1, 1, 1, 3)
    clean = synthetic.make_clip(sample, 0, STILL)
    noisy = synthetic.make_clip(sample, 0, synthetic.Sensor(noise_m=0.02, dropouts=0))
    assert 0.015 < (noisy - clean)[:, :, SPINE].std() < 0.025
    dropped = synthetic.make_clip(sample, 0, synthetic.Sensor(noise_m=0.02, dropouts=20))
    held = (np.diff(dropped, axis=0) == 0).all(axis=-1)  # (T-1, M, V)
    assert held.any()
    assert not held[..., SPINE].any()


def test_people_face_each_other():
    clip = synthetic.make_clip(SampleName(1, 1, 3, 1, 5), 0, STILL)
    first, second = clip[0, 0], clip[0, 1]
    ahead = np.cross(first[8] - first[4], [0, 1, 0])  # right shoulder minus left, times up: backwards
    towards = second[SPINE] - first[SPINE]
    assert np.dot(-ahead, towards) * np.sign(np.dot(-ahead, first[15] - first[14])) > 0
    assert 0.7 < np.linalg.norm(towards[[0, 2]]) < 1.6


def test_actions_are_sixty_different_ones():
    assert len(ACTIONS) == len({action.name for action in ACTIONS}) == 60
    assert len({(action.moves, action.partner_moves) for action in ACTIONS}) == 60
    moves = [move for action in ACTIONS for move in (*action.moves, *(action.partner_moves or ()))]
    assert {move.channel for move in moves} <= set(CHANNELS)


def test_unknown_action_or_camera_is_refused():
    for sample in (SampleName(1, 1, 1, 1, 61), SampleName(1, 4, 1, 1, 1)):
        with pytest.raises(UserError, match="actions 1 to 60"):
            synthetic.make_clip(sample)


def padded_clips(performers, num, rng):
    """Return (num * 10) clips of the first ten actions, (T, M=2, V, C) from the first frame's spine, and labels."""
    labels = np.repeat(np.arange(10), num)
    padded = []
    for i, label in enumerate(labels):
        performer = int(rng.choice(performers))
        clip = synthetic.make_clip(SampleName(1 + i % 17, 1 + i % 3, performer, 1 + i % 2, int(label) + 1))
        padded.append(np.zeros((len(clip), 2, 25, 3)))
        padded[-1][:, :clip.shape[1]] = clip - clip[0, 0, SPINE]
    return padded, labels


def nearest_centroid_accuracy(train, train_labels, test, test_labels):
    """Classify (N, F) features by the nearest mean of a class."""
    centroids = np.stack([train[train_labels == label].mean(axis=0) for label in range(10)])
    found = ((test[:, None] - centroids) ** 2).sum(axis=-1).argmin(axis=1)
    return (found == test_labels).mean()


def test_mean_pose_tells_little_and_movement_tells_the_action():
    """Ten actions by unseen subjects: mean pose, then each joint's spread over time, to the nearest centroid."""
    rng = np.random.default_rng(1)
    protocol = NTU60.protocols[0]
    train, train_labels = padded_clips(protocol.train, 24, rng)
    test, test_labels = padded_clips(protocol.test, 12, rng)

    def accuracy(feature):
        train_features, test_features = (np.stack([feature(clip).ravel() for clip in part]) for part in (train, test))
        return nearest_centroid_accuracy(train_features, train_labels, test_features, test_labels)

    assert accuracy(lambda clip: clip.mean(axis=0)) < 0.5
    assert accuracy(lambda clip: clip.std(axis=0)) > 0.6
