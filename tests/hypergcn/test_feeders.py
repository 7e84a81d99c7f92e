"""Hyper-GCN's clips of NTU RGB+D and NW-UCLA, against a plain reading of their definitions."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from skeleton_lab.errors import UserError

NUM_CLIPS, NUM_FRAMES, WINDOW = 6, 150, 64
PARENTS = {0: 1, 1: 20, 2: 20, 3: 2, 4: 20, 5: 4, 6: 5, 7: 6, 8: 20, 9: 8, 10: 9, 11: 10, 12: 0, 13: 12, 14: 13, 15: 14,
           16: 0, 17: 16, 18: 17, 19: 18, 21: 7, 22: 7, 23: 11, 24: 11}
LENGTHS = (150, 100, 40, 0, 1, 128)  # of the clips; the fourth has no frames


@pytest.fixture(scope="module")
def recorded():
    """(N, T, 2, V, C): clips of `LENGTHS` frames, every second one with a second body."""
    rng = np.random.default_rng(5)
    data = np.zeros((NUM_CLIPS, NUM_FRAMES, 2, 25, 3), np.float32)
    for number, length in enumerate(LENGTHS):
        data[number, :length, :1 + number % 2] = rng.standard_normal((length, 1 + number % 2, 25, 3))
    return data


@pytest.fixture(scope="module")
def archive(recorded, tmp_path_factory):
    path = tmp_path_factory.mktemp("ntu") / "NTU60_CS.npz"
    flat = recorded.reshape(NUM_CLIPS, NUM_FRAMES, -1)
    one_hot = np.eye(60)[np.arange(NUM_CLIPS)]
    np.savez(path, x_train=flat, y_train=one_hot, x_test=flat, y_test=one_hot)
    return str(path)


@pytest.fixture(scope="module")
def ntu(tree, archive):
    def make(**options):
        return tree.load("feeders.feeder_ntu.Feeder")(archive, **{"split": "test", "window_size": WINDOW, **options})

    return make


def frames_of(batch) -> np.ndarray:
    """(N, C, T, V, M) -> (N, T, M, V, C)."""
    return batch[0].numpy().transpose(0, 2, 4, 3, 1)


@pytest.mark.parametrize("vel", [False, True])
@pytest.mark.parametrize("bone", [False, True])
def test_the_four_streams(ntu, tree, archive, bone, vel):
    from skeleton_lab.data.feeders.feeder_ntu import Feeder

    joints = frames_of(Feeder(archive, split="test", p_interval=0.95, window_size=WINDOW).get_batch(range(NUM_CLIPS)))
    expected = joints.copy()
    if bone or not vel:
        for joint in range(25):
            if joint != 20:
                expected[..., joint, :] -= joints[..., PARENTS[joint] if bone else 20, :]
    if vel:
        expected[:, :-1] = expected[:, 1:] - expected[:, :-1]
        expected[:, -1] = 0
    got = frames_of(ntu(p_interval=0.95, bone=bone, vel=vel).get_batch(range(NUM_CLIPS)))
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert not got[0, :, 1].any() and not got[3].any() and got[1, :, 1].any()


@pytest.mark.parametrize(("frames", "first", "last", "total"), [
    (10, [5, 6, 7, 8, 9, 0, 1], [], None), (70, list(range(12)), [65, 66, 68, 69], 2154),
    (127, [1, 3, 5], [125], 4059), (128, [0, 3, 5, 6, 9, 11, 13, 15], [121, 122, 125, 126], 4070),
    (300, [0, 4, 12, 17, 21, 24, 31, 34], [], 9528)])
def test_whole_frames_are_the_published_draws(ntu, frames, first, last, total):
    feeder = ntu(split="train", frame_sample="clips")
    np.random.seed(0)
    [places] = feeder._plan([0], np.array([frames])).lower
    assert places[:len(first)].tolist() == first and places[WINDOW - len(last):].tolist() == last
    assert len(places) == WINDOW and (total is None or places.sum() == total)


def test_whole_frames_are_not_mixed_and_stay_the_same_in_tests(ntu, recorded):
    feeder = ntu(frame_sample="clips", vel=True, bone=False)
    joints = ntu(frame_sample="clips", bone=True)
    before = np.random.get_state()[1].copy()
    got = frames_of(joints.get_batch(range(NUM_CLIPS)))[..., 20, :]  # where the body is
    assert np.array_equal(before, np.random.get_state()[1])
    for number, length in enumerate(LENGTHS):
        known = {row.tobytes() for row in recorded[number, :max(length, 1), 0, 20]}
        assert {row.tobytes() for row in got[number, :, 0]} <= known
    np.random.seed(9)
    np.testing.assert_array_equal(frames_of(joints.get_batch([5, 1]))[:, :, :, 20], got[[5, 1]])
    assert len({feeder._plan([row], np.array([128])).lower.tobytes() for row in range(4)}) == 4
    training = ntu(split="train", frame_sample="clips")
    assert not torch.equal(training.get_batch([0])[0], training.get_batch([0])[0])


def test_shoulders_lie_along_x(ntu, archive, tree, monkeypatch):
    import feeders.feeder_ntu as module

    from skeleton_lab.data.feeders.spans import Tracks

    joints = np.zeros((3, 2, 25, 3), np.float32)  # two bodies of a clip, and the second one alone of another
    joints[0, 0, 8] = joints[1, 0, 8] = joints[2, 0, 8] = (0.3, -0.1, -0.2)
    matrices = module._alignments(Tracks(joints, np.array([0, 0, 1]), np.array([0, 1, 1])))
    np.testing.assert_allclose(matrices[0], [[0.8017837, -0.2672612, -0.5345226], [0.2672612, 0.9603568, -0.0792865],
                                             [0.5345226, -0.0792865, 0.8414269]], atol=1e-7)
    np.testing.assert_array_equal(matrices[1], np.eye(3))
    joints[0, 0, 8] = (-1, 0, 0)
    np.testing.assert_array_equal(module._alignments(Tracks(joints[:1], np.zeros(1, int), np.zeros(1, int)))[0],
                                  np.eye(3))

    plain, turned = (frames_of(ntu(align=align, p_interval=1.0).get_batch(range(NUM_CLIPS))) for align in (False, True))
    shoulders = turned[:, 0, 0, 8] - turned[:, 0, 0, 4]
    assert (np.abs(shoulders[:, 1:]) < 1e-5).all() and (shoulders[[0, 1, 2, 4, 5], 0] > 0).all()
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(plain, axis=-1), atol=1e-5)


def test_a_batch_is_its_items(ntu):
    feeder = ntu(split="train", p_interval=[0.5, 1], frame_sample="clips", align=True, random_rot=True, bone=True)
    np.random.seed(3)
    torch.manual_seed(3)
    together = feeder.get_batch([4, 0, 3, 1])[0]
    np.random.seed(3)
    torch.manual_seed(3)
    torch.testing.assert_close(together, torch.stack([torch.from_numpy(feeder[row][0]) for row in (4, 0, 3, 1)]))


@pytest.mark.parametrize(("options", "message"), [
    ({"frame_sample": "uniform"}, "choose resize or clips"), ({"drop_axis": True}, "drop_axis=True never had an"),
    ({"num_clips": 2}, "num_clips=2"), ({"random_move": True}, "random_rot"), ({"window_size": 0}, "window_size=0")])
def test_options_without_effect_are_refused(ntu, options, message):
    with pytest.raises(UserError, match=message) as caught:
        ntu(**options)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def ucla(tree, tmp_path_factory):
    """The class, and a folder of a few made-up recordings, with their names."""
    from skeleton_lab.data.feeders.ucla_split import recordings

    folder, rng = tmp_path_factory.mktemp("ucla"), np.random.default_rng(0)
    names = [recording.name for recording in recordings("train")[:5]]
    for number, name in enumerate(names):
        walk = rng.standard_normal((1 + 9 * number, 20, 3)).cumsum(axis=0)
        (folder / f"{name}.json").write_text(json.dumps({"skeletons": walk.tolist()}))
    return tree.load("feeders.feeder_ucla.Feeder"), {"root": str(folder), "names": names}


@pytest.mark.parametrize("stream", ["joint", "bone motion"])
def test_ucla_drops_an_axis_and_joints(ucla, stream):
    """Clip by clip and step by step, with the published order of draws."""
    from skeleton_lab.data.feeders import feeder_ucla, transforms
    from skeleton_lab.skeletons import UCLA_20

    make, options = ucla
    usual = feeder_ucla.Feeder("joint", "train", window_size=64, **options)
    random.seed(2)
    expected, dropped = [], 0
    for row in range(len(usual)):
        clip = usual.get_batch([row])[0].numpy()[0, ..., 0].transpose(1, 2, 0)  # (T, V, C)
        if random.random() < 0.5:
            clip[..., random.randint(0, 2)] = 0
            dropped += 1
        if random.random() < 0.5:
            joints = random.sample(range(20), random.randint(4, 12))
            frames = random.sample(range(64), random.randint(16, 32))
            for frame in frames:
                clip[frame, joints] = 0
            dropped += 1
        if stream == "bone motion":
            clip = transforms.motion(transforms.bones(clip, UCLA_20.parents)[None])[0]
        expected.append(clip)
    assert dropped > 1
    random.seed(2)
    feeder = make(stream, "train", **options)
    np.testing.assert_allclose(frames_of(feeder.get_batch(range(5)))[:, :, 0], expected, atol=1e-5)
    random.seed(2)
    np.testing.assert_allclose([feeder[row][0][..., 0].transpose(1, 2, 0) for row in range(5)], expected, atol=1e-5)


def test_ucla_tests_drop_nothing(ucla):
    from skeleton_lab.data.feeders import feeder_ucla

    make, options = ucla
    feeder = make("joint", "val", **options)
    usual = feeder_ucla.Feeder("joint", "val", window_size=64, **options)
    assert torch.equal(feeder.get_batch(range(5))[0], usual.get_batch(range(5))[0])
    assert make("joint", "train", window_size=8, **options).get_batch(range(5))[0].shape == (5, 3, 8, 20, 1)
