"""MS-G3D's Feeder: clips as they lie in the file, its options, and what may be wrong with the files."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch

from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.errors import UserError
from skeleton_lab.train.batches import seed_generators

NUM_CLIPS, NUM_FRAMES = 5, 12


@pytest.fixture(scope="module")
def feeder_class(tree):
    return tree.load("feeders.feeder.Feeder")


@pytest.fixture
def files(tmp_path):
    """Return a function that writes clips and labels and returns their paths as the Feeder's arguments."""

    def write(clips=None, labels=None):
        if clips is None:
            clips = np.random.default_rng(0).normal(size=(NUM_CLIPS, 3, NUM_FRAMES, 25, 2)).astype(np.float32)
            clips[1, :, 7:] = 0
            clips[2, :, :3] = 0
        labels = list(range(len(clips))) if labels is None else labels
        np.save(tmp_path / "val_data_joint.npy", clips)
        write_labels(tmp_path / "val_label.pkl", [f"clip{i}" for i in range(len(labels))], labels)
        return {"data_path": str(tmp_path / "val_data_joint.npy"), "label_path": str(tmp_path / "val_label.pkl")}

    return write


def clips_of(paths):
    return np.load(paths["data_path"])


@pytest.mark.parametrize("use_mmap", [True, False])
def test_without_options_clips_come_as_they_lie_in_the_file(feeder_class, files, use_mmap):
    paths = files(labels=[3, 1, 4, 1, 5])
    feeder = feeder_class(**paths, use_mmap=use_mmap)
    data, labels, indices = feeder.get_batch([4, 0, -1])
    assert (data.dtype, labels.dtype, indices.dtype) == (torch.float32, torch.int64, torch.int64)
    np.testing.assert_array_equal(data, clips_of(paths)[[4, 0, 4]])
    assert labels.tolist() == [5, 3, 5] and indices.tolist() == [4, 0, -1]
    data, label, index = feeder[1]
    np.testing.assert_array_equal(data, clips_of(paths)[1])
    assert (data.dtype, type(label), label, index, len(feeder)) == (np.float32, int, 1, 1, 5)
    assert feeder.sample_name == [f"clip{i}" for i in range(5)] and list(feeder.label) == [3, 1, 4, 1, 5]
    with pytest.raises(IndexError):
        feeder[5]


def test_a_batch_is_the_callers_own(feeder_class, files):
    paths = files()
    feeder = feeder_class(**paths)
    data, _, _ = feeder.get_batch([0, 1])
    data.zero_()
    feeder[0][0][:] = 0
    np.testing.assert_array_equal(feeder[0][0], clips_of(paths)[0])


def test_the_same_options_as_in_upstreams_training_configuration_change_nothing(feeder_class, files):
    paths = files()
    feeder = feeder_class(**paths, debug=False, random_choose=False, random_shift=False, random_move=False,
                          window_size=-1, normalization=False)
    np.testing.assert_array_equal(feeder.get_batch(range(5))[0], clips_of(paths))


def test_debug_uses_the_first_100_clips(feeder_class, files):
    paths = files(np.zeros((103, 3, 2, 25, 2), np.float32))
    feeder = feeder_class(**paths, debug=True)
    assert len(feeder) == len(feeder.label) == len(feeder.sample_name) == len(feeder.data) == 100
    assert len(feeder_class(**paths)) == 103


@pytest.mark.parametrize("window", [9, 12, 20])
def test_a_window_pads_at_the_end_and_leaves_longer_clips_whole(feeder_class, files, window):
    paths = files()
    data, _, _ = feeder_class(**paths, window_size=window).get_batch([0, 1])
    assert data.dtype == torch.float32 and data.shape[2] == max(window, NUM_FRAMES)
    np.testing.assert_array_equal(data[:, :, :NUM_FRAMES], clips_of(paths)[:2])
    assert not data[:, :, NUM_FRAMES:].any()


@pytest.mark.parametrize("window", [5, 14])
def test_random_choose_takes_consecutive_frames_or_pads_anywhere(feeder_class, files, window):
    paths = files()
    feeder, clip = feeder_class(**paths, random_choose=True, window_size=window), clips_of(paths)[0]
    random.seed(0)
    starts, both = set(), min(window, NUM_FRAMES)
    for _ in range(100):
        data, _, _ = feeder[0]
        assert data.dtype == np.float32 and data.shape == (3, window, 25, 2)
        shorter, longer = sorted((clip, data), key=lambda frames: frames.shape[1])
        starts |= {t for t in range(abs(window - NUM_FRAMES) + 1) if np.array_equal(longer[:, t:t + both], shorter)}
    assert starts == set(range(abs(window - NUM_FRAMES) + 1))


def test_random_shift_moves_the_occupied_frames(feeder_class, files):
    paths = files()
    feeder, clip = feeder_class(**paths, random_shift=True), clips_of(paths)[1]  # frames 0 to 6 of 12
    random.seed(0)
    starts = set()
    for _ in range(60):
        data, _, _ = feeder[1]
        start = int(np.flatnonzero(data.any(axis=(0, 2, 3)))[0])
        np.testing.assert_array_equal(data[:, start:start + 7], clip[:, :7])
        starts.add(start)
    assert starts == set(range(6))


def test_random_move_turns_in_the_plane_and_leaves_the_file_alone(feeder_class, files):
    paths = files()
    before = clips_of(paths)
    data, _, _ = feeder_class(**paths, random_move=True).get_batch([0, 3])
    np.testing.assert_array_equal(data[:, 2], before[[0, 3], 2])
    assert not np.allclose(data[:, :2], before[[0, 3], :2])
    np.testing.assert_array_equal(clips_of(paths), before)


@pytest.mark.parametrize("options", [
    {}, {"normalization": True}, {"window_size": 20}, {"random_choose": True, "window_size": 6}, {"random_shift": True},
    {"random_move": True},
    {"normalization": True, "random_shift": True, "random_choose": True, "random_move": True, "window_size": 8},
], ids=lambda options: "+".join(options) or "plain")
def test_a_batch_is_its_items(feeder_class, files, options):
    feeder = feeder_class(**files(), **options)
    seed_generators(3)
    data, labels, _ = feeder.get_batch([4, 1, 2])
    seed_generators(3)
    items = [feeder[i] for i in (4, 1, 2)]
    np.testing.assert_array_equal(data, np.stack([clip for clip, _, _ in items]))
    assert labels.tolist() == [label for _, label, _ in items]


def test_normalisation_gives_mean_0_and_deviation_1_for_each_coordinate_of_each_joint(feeder_class, files, monkeypatch):
    rng = np.random.default_rng(0)
    clips = rng.normal(loc=rng.normal(0, 50, (1, 3, 1, 25, 1)), size=(40, 3, 7, 25, 2)).astype(np.float32)
    clips[:, 1, :, 20] = 0.1  # never varies
    paths = files(clips)
    feeder = feeder_class(**paths, normalization=True)
    wide = clips.astype(np.float64)
    assert feeder.mean_map.shape == feeder.std_map.shape == (3, 1, 25, 1)
    np.testing.assert_allclose(feeder.mean_map[:, 0, :, 0], wide.mean(axis=(0, 2, 4)), rtol=1e-6, atol=1e-6)
    expected = wide.std(axis=(0, 2, 4))
    expected[1, 20] = 1
    np.testing.assert_allclose(feeder.std_map[:, 0, :, 0], expected, rtol=1e-5)
    data = feeder.get_batch(range(40))[0].double().numpy()
    np.testing.assert_allclose(data.mean(axis=(0, 2, 4)), 0, atol=1e-4)
    np.testing.assert_allclose(np.delete(data.std(axis=(0, 2, 4)).ravel(), 25 + 20), 1, rtol=1e-3)
    assert np.abs(data[:, 1, :, 20]).max() < 1e-6
    module = feeder_class.__module__
    monkeypatch.setattr(f"{module}.archive.blocks", lambda length, row_bytes: (slice(i, min(i + 7, length))
                                                                               for i in range(0, length, 7)))
    in_blocks = feeder_class(**paths, normalization=True)
    np.testing.assert_allclose(in_blocks.mean_map, feeder.mean_map, rtol=1e-6)
    np.testing.assert_allclose(in_blocks.std_map, feeder.std_map, rtol=1e-6)


def test_top_k(feeder_class, files):
    feeder = feeder_class(**files(labels=[0, 1, 2, 2, 1]))
    score = np.array([[3, 2, 1], [3, 2, 1], [3, 2, 1], [1, 2, 3], [1, 3, 2]])
    assert [feeder.top_k(score, k) for k in (1, 2, 3)] == pytest.approx([0.6, 0.8, 1])


def test_a_copy_for_another_process_maps_the_file_itself(feeder_class, files):
    paths = files(np.zeros((103, 3, 20, 25, 2), np.float32))
    feeder = feeder_class(**paths, debug=True, normalization=True)
    content = pickle.dumps(feeder)
    assert len(content) < 10_000 < feeder.data.nbytes
    copy = pickle.loads(content)
    assert len(copy) == len(copy.data) == 100
    np.testing.assert_array_equal(copy[99][0], feeder[99][0])


def test_kinetics_and_other_float_types_load_too(feeder_class, files):
    clips = np.random.default_rng(0).normal(size=(2, 3, 4, 18, 2))
    data, _, _ = feeder_class(**files(clips)).get_batch([0, 1])
    np.testing.assert_array_equal(data, clips.astype(np.float32))


@pytest.mark.parametrize("options", [{}, {"normalization": True}, {"random_move": True}])
def test_a_clip_with_nan_is_named(feeder_class, files, options):
    clips = np.zeros((4, 3, 5, 25, 2), np.float32)
    clips[2, 1, 3, 7, 0] = np.nan
    with pytest.raises(UserError, match=r"val_data_joint\.npy: sample 2 \(clip2\) holds NaN"):
        feeder_class(**files(clips), **options).get_batch([0, 2])


def test_a_window_is_needed_to_choose_frames(feeder_class, files):
    with pytest.raises(UserError, match="random_choose needs a window, but window_size is -1"):
        feeder_class(**files(), random_choose=True)


@pytest.mark.parametrize(("clips", "labels", "complaint"), [
    (np.zeros((3, 3, 4, 25, 2), np.float32), [0, 1], "3 clips, but .* labels 2"),
    (np.zeros((3, 4, 25, 2), np.float32), None, r"float32 of shape \(3, 4, 25, 2\), not float clips"),
    (np.zeros((3, 3, 4, 25, 2), np.int16), None, "int16 of shape"),
])
def test_files_that_do_not_fit_are_one_line(feeder_class, files, clips, labels, complaint):
    with pytest.raises(UserError, match=rf"val_data_joint\.npy: {complaint}") as error:
        feeder_class(**files(clips, labels))
    assert "\n" not in str(error.value)


def test_a_missing_file_tells_the_command_that_makes_it(feeder_class, files, tmp_path):
    paths = files()
    bone = {**paths, "data_path": paths["data_path"].replace("_joint", "_bone")}
    with pytest.raises(UserError, match=r"val_data_bone\.npy: no such file; .*gen_bone_data\.py --dataset ntu$"):
        feeder_class(**bone)
    for name in ("data_path", "label_path"):
        with pytest.raises(UserError, match=r"absent: no such file; make it with convert_ctr_npz_to_msg3d\.py"):
            feeder_class(**{**paths, name: str(tmp_path / "absent")})


def test_upstreams_transforms_stand_in_tools(tree):
    for name in ("auto_pading", "random_choose", "random_shift", "random_move", "downsample"):
        assert callable(tree.load(f"feeders.tools.{name}"))
