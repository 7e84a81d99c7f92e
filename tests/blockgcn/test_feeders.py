"""The streams of BlockGCN's feeders, against their definitions, and the positions that come with them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from skeleton_lab.data.feeders import feeder_ntu, feeder_ucla
from skeleton_lab.data.feeders.ucla_split import recordings
from skeleton_lab.skeletons import UCLA_20
from skeleton_lab.train.batches import seed_generators
from tests.scripts.small_archive import write_pair

NTU_BONES = ((1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11),
             (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (22, 23), (23, 8), (24, 25),
             (25, 12))  # CTR-GCN's, not the graph's
CENTRE = 20


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("archive"), num_train=4, num_test=4)[0]


def steps(stream: np.ndarray) -> np.ndarray:
    """Differences of neighbouring frames of (N, C, T, V, M); the last is 0."""
    return np.concatenate([stream[:, :, 1:] - stream[:, :, :-1], np.zeros_like(stream[:, :, :1])], axis=2)


@pytest.mark.parametrize("vel", [False, True])
@pytest.mark.parametrize("bone", [False, True])
def test_ntu_streams(tree, archive, bone, vel):
    options = {"data_path": str(archive), "window_size": 16, "p_interval": [0.5, 1], "random_rot": True}
    seed_generators(3)
    clips, joints, labels, indices = tree.load("feeders.feeder_ntu.Feeder")(**options, bone=bone, vel=vel).get_batch(
        [2, 0, 1])
    seed_generators(3)
    expected, *others = feeder_ntu.Feeder(**options).get_batch([2, 0, 1])
    assert torch.equal(joints, expected) and torch.equal(labels, others[0]) and torch.equal(indices, others[1])

    stream = expected.numpy().copy()
    if bone:
        for child, parent in NTU_BONES:
            stream[..., child - 1, :] = expected[..., child - 1, :] - expected[..., parent - 1, :]
    else:
        for joint in set(range(25)) - {CENTRE}:
            stream[..., joint, :] -= expected[..., CENTRE, :].numpy()
    np.testing.assert_array_equal(stream[..., CENTRE, :], expected[..., CENTRE, :])
    np.testing.assert_array_equal(clips, steps(stream) if vel else stream)


def test_a_single_item_is_that_of_a_batch(tree, archive):
    feeder = tree.load("feeders.feeder_ntu.Feeder")(str(archive), split="test", p_interval=0.95, window_size=8)
    clip, joints, label, index = feeder[3]
    batch = feeder.get_batch([3])
    assert np.array_equal(clip, batch[0][0]) and np.array_equal(joints, batch[1][0])
    assert (label, index) == (int(batch[2]), 3)


@pytest.mark.parametrize("stream", ["joint", "bone", "motion", "bone motion"])
def test_ucla_streams(tree, tmp_path, stream):
    rng = np.random.default_rng(0)
    for number, recording in enumerate(recordings("val")):
        frames = rng.standard_normal((6 if number < 2 else 1, 20, 3))
        frames[2:3] = 0  # an empty frame in between
        (tmp_path / f"{recording.name}.json").write_text(json.dumps({"skeletons": frames.tolist()}))
    clips, joints, *_ = tree.load("feeders.feeder_ucla.Feeder")(stream, "val", root=str(tmp_path)).get_batch([0, 1])
    expected, *_ = feeder_ucla.Feeder("joint", "val", root=str(tmp_path)).get_batch([0, 1])
    assert torch.equal(joints, expected)
    assert torch.equal(clips, feeder_ucla.Feeder(stream, "val", root=str(tmp_path)).get_batch([0, 1])[0])
    if stream == "bone":
        parents = list(UCLA_20.parents)
        torch.testing.assert_close(clips, joints - joints[:, :, :, parents], rtol=0, atol=1e-6)
