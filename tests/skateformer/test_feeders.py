"""SkateFormer's clips against definitions written plainly: frames, streams, joints' order, augmentations."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest

from skeleton_lab.errors import UserError

NUM_JOINTS = 25
LENGTHS = (100, 300, 70, 66, 50, 39, 10)  # valid frames of the clips; the archive has 300
ORDER = [6, 7, 21, 22, 10, 11, 23, 24, 12, 13, 14, 15, 16, 17, 18, 19, 4, 8, 5, 9, 1, 2, 0, 3]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Seven clips of each split; every second one has a second body. Classes 2, 52, 2, 52, ... of 60."""
    rng = np.random.default_rng(0)
    clips = np.zeros((len(LENGTHS), 3, 300, NUM_JOINTS, 2), np.float32)
    for number, length in enumerate(LENGTHS):
        clips[number, :, :length, :, :1 + number % 2] = rng.standard_normal((3, length, NUM_JOINTS, 1 + number % 2))
    labels = np.where(np.arange(len(LENGTHS)) % 2, 52, 2)
    path = tmp_path_factory.mktemp("archive") / "NTU60_CS.npz"
    np.savez(path, x_train=clips, y_train=labels, x_test=clips, y_test=labels)
    return path, clips


@pytest.fixture(scope="module")
def make(tree, archive):
    def made(name="feeder_ntu", **options):
        return tree.load(f"feeders.{name}.Feeder")(str(archive[0]), **{"split": "test", "p_interval": [0.95],
                                                                      "uniform": True, **options})
    return made


def seed(number=0):
    random.seed(number)
    np.random.seed(number)


def frames_of(position, length):
    return np.rint((np.asarray(position) + 1) * length / 2).astype(int)


def resized(clip, first, length, window=64):
    """Frames `first` to `first + length` of a clip (C, T, V, M), linearly to `window` of them, and their numbers."""
    at = np.maximum((np.arange(window) + 0.5) * length / window - 0.5, 0)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, length - 1), at - low
    mixed = clip[:, first + low] * (1 - share)[:, None, None] + clip[:, first + high] * share[:, None, None]
    return mixed, first + low * (1 - share) + high * share


def test_tests_take_these_frames(make, archive):
    clips, positions, labels, indices = make().get_batch(range(7))
    assert clips.shape == (7, 3, 64, NUM_JOINTS, 2) and positions.shape == (7, 64)
    assert labels.tolist() == [2, 52, 2, 52, 2, 52, 2] and indices.tolist() == list(range(7))
    chosen = [frames_of(position, length).tolist() for position, length in zip(positions, LENGTHS, strict=True)]
    assert chosen[0][:4] == [2, 3, 4, 6] and chosen[0][-3:] == [92, 94, 95]
    assert positions[0, [0, -1]].tolist() == pytest.approx([-0.96, 0.90])
    assert chosen[1][:4] == [7, 11, 15, 20] and chosen[1][-3:] == [278, 283, 287]
    assert chosen[3] == list(range(1, 65)) and positions[5, [0, -1]].tolist() == pytest.approx([-1, 0.94872], abs=1e-5)
    for number in (0, 1, 3):
        assert np.array_equal(clips[number], archive[1][number][:, chosen[number]])
    for number in (4, 5, 6):  # shorter than a window: all frames, resized
        expected, at = resized(archive[1][number], 0, LENGTHS[number])
        np.testing.assert_allclose(clips[number], expected, atol=1e-5)
        np.testing.assert_allclose(positions[number], 2 * at / LENGTHS[number] - 1, atol=1e-6)
    one = make()[3]
    assert np.array_equal(one[0], clips[3]) and np.array_equal(one[1], positions[3]) and one[2:] == (52, 3)


def test_the_published_crop_of_short_clips_misses_a_frame(make, archive):
    clips, positions, _, _ = make(padded_crop=True, window_size=50).get_batch([4])
    assert frames_of(positions[0], 50).tolist() == list(range(1, 51))
    assert np.array_equal(clips[0][:, :-1], archive[1][4][:, 1:50]) and not clips[0][:, -1].any()
    assert frames_of(make(window_size=50).get_batch([4])[1][0], 50).tolist() == list(range(50))


def test_training_draws_these_frames(make):
    feeder = make(split="train", p_interval=[0.5, 1], intra_p=0)
    seed()
    positions = feeder.get_batch(range(7))[1]
    seed()
    for number, length in enumerate(LENGTHS):
        used = min(max(int(length * (np.random.rand() * 0.5 + 0.5)), 64), length)
        first = np.random.randint(0, length - used + 1)
        if used < 64:
            expected = resized(np.zeros((3, 300, 1, 1)), first, used)[1]
        elif used < 128:
            gaps = np.random.choice(65, used - 64, replace=False)
            expected = first + np.array([i + (gaps <= i).sum() for i in range(64)])
        else:
            edges = [i * used // 64 for i in range(65)]
            expected = first + np.array(edges[:-1]) + np.random.randint(np.diff(edges))
        np.random.rand()  # whether to augment
        np.testing.assert_allclose(positions[number], 2 * expected / length - 1, atol=1e-6)


def test_without_uniform_the_crop_is_resized(make, archive):
    clips, positions, _, _ = make(uniform=False).get_batch([0])
    expected, at = resized(archive[1][0], 2, 96)
    np.testing.assert_allclose(clips[0], expected, atol=1e-5)
    np.testing.assert_allclose(positions[0], 2 * at / 100 - 1, atol=1e-6)


def test_streams_and_the_order_of_joints(make):
    joints = make().get_batch([1])[0][0].numpy()
    parents = [1, 1, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11]
    bones = joints - joints[:, :, parents]
    step = {}
    for name, stream in (("j", joints), ("b", bones)):
        step[name + "m" if name == "j" else "bm"] = np.concatenate([np.diff(stream, axis=1),
                                                                    np.zeros_like(stream[:, :1])], axis=1)
    for name, expected in (("j", joints), ("b", bones), *step.items()):
        found = make(data_type=name, partition=True).get_batch([1])[0][0].numpy()
        np.testing.assert_allclose(found, expected[:, :, ORDER], atol=1e-6)
        assert found.shape == (3, 64, 24, 2)


def clip_of(number, frames=64):
    """A clip (T, M, V, C) of two bodies, and positions."""
    rng = np.random.default_rng(number)
    return rng.standard_normal((frames, 2, NUM_JOINTS, 3)), np.linspace(-1, 0.9, frames)


def by_definition(letter, clip):
    """What a letter makes of a clip, channels first (C, T, V, M), with the draws in the published order."""
    x = clip.transpose(3, 0, 2, 1).copy()
    if letter == "a":
        return x[..., ::-1] if np.random.rand() < 0.5 else x
    if letter == "1" and random.random() < 0.5:
        u = [random.uniform(-0.5, 0.5) for _ in range(6)]
        return np.einsum("dc,ctvm->dtvm", [[1, u[0], u[3]], [u[1], 1, u[4]], [u[2], u[5], 1]], x)
    if letter == "2":
        axis, angle = random.randint(0, 2), random.uniform(-30, 30) * math.pi / 180
        c, s = math.cos(angle), math.sin(angle)
        turn = ([[1, 0, 0], [0, c, s], [0, -s, c]], [[c, 0, -s], [0, 1, 0], [s, 0, c]], [[c, s, 0], [-s, c, 0],
                                                                                        [0, 0, 1]])[axis]
        return np.einsum("dc,ctvm->dtvm", turn, x) if random.random() < 0.5 else x
    if letter == "3" and random.random() < 0.5:
        return x * (1 + 0.2 * (2 * np.random.rand(3) - 1))[:, None, None, None]
    if letter == "4" and random.random() < 0.5:
        return x[:, :, [*range(4), *range(8, 12), *range(4, 8), *range(16, 20), *range(12, 16), 20, 23, 24, 21, 22]]
    if letter == "7":
        sigma = random.uniform(0.1, 2)
        if np.random.rand() < 0.5:
            kernel = np.exp(-np.arange(-7, 8)**2 / (2 * sigma**2))
            return np.apply_along_axis(lambda line: np.convolve(line, kernel, "same"), 1, x)
    if letter == "8":
        axis = random.randint(0, 2)
        if random.random() < 0.5:
            x[axis] = 0
    if letter == "9" and random.random() < 0.5:
        joints = random.sample(range(25), random.randint(5, 15))
        frames = random.sample(range(64), random.randint(16, 32))
        for frame in frames:
            x[:, frame, joints] = 0
    return x


@pytest.mark.parametrize("letter", "a1234789")
def test_augmentations_are_their_definitions(tree, letter):
    change, differs = tree.load("feeders.augmentations.LETTERS")[letter], 0
    for number in range(6):
        clip, position = clip_of(number)
        seed(number)
        found, same = change(clip.copy(), position)
        after = random.random(), np.random.rand()
        seed(number)
        np.testing.assert_allclose(found.transpose(3, 0, 2, 1), by_definition(letter, clip), atol=1e-12)
        assert after == (random.random(), np.random.rand()) and same is position
        differs += not np.array_equal(found, clip)
    assert 0 < differs < 6


def test_the_unused_augmentations(tree):
    letters = tree.load("feeders.augmentations.LETTERS")
    clip, position = clip_of(0)
    found = {letter: set() for letter in "b56"}
    for number in range(8):
        seed(number)
        other, _ = letters["b"](clip, position)
        found["b"].add(bool(other[:, 1].any()))
        assert other[:, 0].any() and clip[:, 1].any()
        other, turned = letters["5"](clip, position)
        found["5"].add(np.array_equal(other, clip[::-1]) and np.array_equal(turned, -position))
        other, _ = letters["6"](clip, position)
        found["6"].add(round(float((other - clip).std()), 2))
    assert found == {"b": {True, False}, "5": {True, False}, "6": {0.0, 0.05}}


def test_augmented_training_clips(make):
    """Half of them are changed, in the letters' fixed order; a batch is its items."""
    feeder = make(split="train", aug_method="9a1", intra_p=0.5, inter_p=0.2, partition=True)
    assert [change.__name__ for change in feeder.augmentations] == ["swap_bodies", "shear", "drop_joints"]
    seed(1)
    clips, positions, _, _ = feeder.get_batch(range(7))
    seed(1)
    for number in range(7):
        clip, position, _, _ = feeder[number]
        assert np.array_equal(clip, clips[number]) and np.array_equal(position, positions[number])


def test_bones_take_another_clips_lengths(tree, make, archive):
    with_lengths_of = tree.load("feeders.augmentations.with_lengths_of")
    parents = tree.load("feeders.augmentations.PARENTS")
    (clip, _), (other, _) = clip_of(0), clip_of(1)
    found = with_lengths_of(clip, other)
    assert np.array_equal(found[:, :, 1], other[:, :, 1])
    bones, own, theirs = (x - x[:, :, parents] for x in (found, clip, other))
    rest = [joint for joint in range(25) if joint != 1]
    np.testing.assert_allclose(np.linalg.norm(bones[:, :, rest], axis=-1), np.linalg.norm(theirs[:, :, rest], axis=-1),
                               rtol=1e-3, atol=1e-4)
    cosine = (bones * own).sum(-1) / (np.linalg.norm(bones, axis=-1) * np.linalg.norm(own, axis=-1) + 1e-30)
    np.testing.assert_allclose(cosine[:, :, rest], 1, atol=1e-9)
    absent = np.zeros_like(clip)
    assert np.array_equal(with_lengths_of(absent, other)[:, 0, 7], other[:, 0, 1])  # a point at the root
    assert np.abs(with_lengths_of(clip, absent)).max() < 1e-3

    feeder = make(split="train", intra_p=0, inter_p=1, p_interval=[1])
    seed()
    found = feeder.get_batch([0])[0][0].numpy().transpose(1, 3, 2, 0)
    seed()
    np.random.rand()
    chosen = random.choice([0, 2, 4, 6])
    frames = np.rint(np.arange(64) * 100 // 64 * LENGTHS[chosen] / 100).astype(int).clip(0, LENGTHS[chosen] - 1)
    clip = archive[1][0][:, np.arange(64) * 100 // 64].transpose(1, 3, 2, 0)
    np.testing.assert_allclose(found, with_lengths_of(clip, archive[1][chosen][:, frames].transpose(1, 3, 2, 0)),
                               atol=1e-4)


def test_actions_of_two_people_alone(make):
    feeder = make("feeder_ntu_inter")
    assert len(feeder) == 3 and feeder.label.tolist() == [3, 3, 3]
    assert feeder.sample_name == ["test_0", "test_1", "test_2"]
    all_clips = make()
    assert np.array_equal(feeder[1][0], all_clips[3][0]) and feeder[1][2:] == (3, 1)
    assert np.array_equal(feeder.recorded(1).frames, all_clips.recorded(3).frames)


@pytest.mark.parametrize(("options", "said"), [
    ({"data_type": "x"}, "data_type 'x'"), ({"aug_method": "1q"}, "q stands"), ({"window_size": 0}, "window_size"),
    ({"p_interval": [2]}, "p_interval")])
def test_what_is_refused(make, options, said):
    with pytest.raises(UserError, match=said):
        make(**options)


def test_ucla_clips(tree, tmp_path):
    from skeleton_lab.data.feeders.ucla_split import recordings

    rng = np.random.default_rng(0)
    for recording in (*recordings("val"), *recordings("train")):
        frames = rng.standard_normal((7, 20, 3)).round(3).tolist() if recording.name.endswith("e00_v03") else [
            rng.standard_normal((20, 3)).round(3).tolist()] * 3
        (tmp_path / f"{recording.name}.json").write_text(json.dumps({"skeletons": frames}))
    make = tree.load("feeders.feeder_ucla.Feeder")
    order = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 1, 2, 0, 3]
    feeder = make(label_path="val", root=str(tmp_path))
    clips, positions, labels, _ = feeder.get_batch([0, 1])
    length = int(feeder._lengths[0])
    assert clips.shape == (2, 3, 64, 20, 1) and labels.tolist() == feeder.label[:2]
    np.testing.assert_allclose(positions[0], 2 * np.linspace(0, length - 1, 64).astype(int) / length - 1, atol=1e-6)
    parts = make(label_path="val", root=str(tmp_path), partition=True).get_batch([0])[0]
    assert np.array_equal(parts[0], clips[0][:, :, order])
    bones = make(label_path="val", root=str(tmp_path), data_type="bm").get_batch([0])[0]
    assert not bones[:, :, -1].any()

    training = make(label_path="train", root=str(tmp_path), p=1.0, repeat=2)
    seed()
    clip, position, _, _ = training[5]
    assert (clip == 0).all(axis=(1, 2, 3)).sum() == 1 and (np.diff(position) >= 0).all()
    joints = (clip == 0).all(axis=0)[..., 0].sum(axis=0) > 0
    assert 4 <= joints.sum() <= 12 and len(training) == 2 * len(training.label)
