"""The feeder of any skeleton: like NTU's on NTU's clips, and on clips of other shapes."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from skeleton_lab.data.formats.archive import NpzWriter
from skeleton_lab.errors import UserError

NTU, UTD = "skeleton_lab.skeletons.NTU_25", "skeleton_lab.own_skeletons.UTD_MHAD_20"


def write(path: Path, num_joints: int, num_bodies: int, num_frames: int = 90) -> Path:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 3, num_frames, num_joints, num_bodies)).astype(np.float32)
    for row, clip in enumerate(x):
        clip[:, 80 - 13 * row:] = 0
    with NpzWriter(path) as writer:
        for part in ("train", "test"):
            writer.write(f"x_{part}", x)
            writer.write(f"y_{part}", np.arange(6))
    return path


def seed() -> None:
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)


@pytest.mark.parametrize("options", [
    {"p_interval": [0.95], "split": "test"}, {"p_interval": [0.5, 1], "split": "train"},
    {"p_interval": [0.5, 1], "split": "train", "random_rot": True, "bone": True},
    {"p_interval": [0.5, 1], "split": "train", "vel": True, "bone": True}])
def test_on_ntu_clips_it_is_ntus_feeder(tmp_path: Path, tree, options) -> None:
    path = str(write(tmp_path / "ntu.npz", 25, 2))
    seed()
    expected = tree.load("feeders.feeder_ntu.Feeder")(path, window_size=32, **options).get_batch(range(6))
    seed()
    found = tree.load("feeders.feeder_clips.Feeder")(path, window_size=32, skeleton=NTU, **options).get_batch(range(6))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_other_skeletons(tmp_path: Path, tree) -> None:
    feeder = tree.load("feeders.feeder_clips.Feeder")(str(write(tmp_path / "utd.npz", 20, 1)), "train", UTD, bone=True,
                                                      debug=True)
    data, labels, indices = feeder.get_batch([3, 1])
    assert data.shape == (2, 3, 64, 20, 1) and data.dtype == torch.float32
    assert labels.tolist() == indices.tolist() == [3, 1]
    assert not data[:, :, :, 1].any()  # the root has no bone
    again = pickle.loads(pickle.dumps(feeder))
    np.testing.assert_array_equal(again[3][0], data[0])
    assert feeder[3][1:] == (3, 3) and len(feeder) == 6 and feeder.sample_name[2] == "train_2"
    assert feeder.top_k(np.eye(6), 1) == 1


def test_an_empty_clip_is_zeros(tmp_path: Path, tree) -> None:
    with NpzWriter(tmp_path / "x.npz") as writer:
        writer.write("x_test", np.zeros((1, 3, 9, 20, 1), np.float32))
        writer.write("y_test", np.zeros(1, np.int64))
    assert not tree.load("feeders.feeder_clips.Feeder")(str(tmp_path / "x.npz"), "test", UTD)[0][0].any()


def save(path: Path, x: np.ndarray) -> str:
    with NpzWriter(path) as writer:
        for part in ("train", "test"):
            writer.write(f"x_{part}", x.astype(np.float32))
            writer.write(f"y_{part}", np.zeros(len(x), np.int64))
    return str(path)


@pytest.mark.parametrize("options", [{"p_interval": [1]}, {"p_interval": [0.5, 1], "split": "train"},
                                     {"p_interval": [0.95], "observe": 0.6}, {"p_interval": [1], "bone": True},
                                     {"p_interval": [1], "vel": True, "bone": True}])
def test_a_clip_is_what_lies_between_its_first_and_last_body(tmp_path: Path, tree, options) -> None:
    """Nobody was seen at first, or at the end: the clip that the model sees is the same."""
    moves = np.random.default_rng(2).standard_normal((3, 10, 20, 1))
    x = np.zeros((3, 3, 24, 20, 1))
    x[0, :, :10], x[1, :, 7:17], x[2, :, 14:] = moves, moves, moves
    feeder = tree.load("feeders.feeder_clips.Feeder")(save(tmp_path / "a.npz", x), skeleton=UTD, window_size=16,
                                                      **{"split": "test"} | options)
    clips = []
    for row in range(3):
        seed()
        clips.append(feeder.get_batch([row])[0][0])
    assert clips[0].any() and torch.equal(clips[0], clips[1]) and torch.equal(clips[0], clips[2])


def test_empty_frames_in_between_stay_empty_and_bodies_whole(tmp_path: Path, tree) -> None:
    x = np.zeros((1, 3, 12, 20, 2))
    x[0, :, 2:5], x[0, :, 8:11] = 1, 3  # nobody in frames 5 to 7
    x[0, :, 4, :, 1] = 0  # the second body leaves a frame before
    make = tree.load("feeders.feeder_clips.Feeder")
    path = save(tmp_path / "a.npz", x)
    clip = make(path, "test", UTD, window_size=9, flat=False)[0][0]
    assert clip[0, :, 0, 0].tolist() == [1, 1, 1, 0, 0, 0, 3, 3, 3]  # as many frames as the window: none is mixed
    assert clip[0, :, 0, 1].tolist() == [1, 1, 0, 0, 0, 0, 3, 3, 3]
    longer = make(path, "test", UTD, window_size=32, flat=False)[0][0]
    assert set(np.unique(longer)) == {0, 1, 3}  # a body never shrinks into an empty frame
    steps = make(path, "test", UTD, window_size=9, vel=True, flat=False)[0][0]
    assert not steps.any()  # nobody moves, and nobody comes from, or goes to, where nobody is


def flat_clips() -> np.ndarray:
    """Two clips, equal in x and y, with scores 0.2 and 0.9 to 1."""
    x = np.zeros((2, 3, 64, 20, 1), np.float32)
    x[:, :2] = np.random.default_rng(0).uniform(-1, 1, (1, 2, 64, 20, 1))
    x[0, 2], x[1, 2] = 0.2, 0.9
    x[1, 2, :, 0] = 1
    return x


@pytest.mark.parametrize("flat", [True, None])
def test_flat_joints_turn_in_their_plane_and_keep_their_scores(tmp_path: Path, tree, flat, capsys) -> None:
    x = flat_clips()
    feeder = tree.load("feeders.feeder_clips.Feeder")(save(tmp_path / "flat.npz", x), "train", UTD, random_rot=True,
                                                      flat=flat)
    assert feeder.flat and ("flat=False" in capsys.readouterr().err) == (flat is None)
    clips = []
    for row in range(2):
        seed()
        clips.append(feeder.get_batch([row])[0][0].numpy())
    np.testing.assert_array_equal(clips[0][:2], clips[1][:2])
    for clip, recorded in zip(clips, x, strict=True):
        np.testing.assert_array_equal(clip[2], recorded[2])
        np.testing.assert_allclose(np.hypot(*clip[:2]), np.hypot(*recorded[:2]), atol=1e-5)
    assert np.abs(clips[0][:2] - x[0, :2]).max() > 0.01  # and they did turn


def test_bones_and_steps_of_flat_joints_have_the_mean_of_two_scores(tmp_path: Path, tree) -> None:
    path, x = save(tmp_path / "flat.npz", flat_clips()), flat_clips()[1]
    make = tree.load("feeders.feeder_clips.Feeder")
    bones = make(path, "test", UTD, bone=True, flat=True)[1][0]
    np.testing.assert_allclose(bones[:2, :, 0], x[:2, :, 0] - x[:2, :, 1], atol=1e-6)  # from the head to its parent, 1
    np.testing.assert_allclose(bones[2, :, 0], 0.95, atol=1e-6)
    np.testing.assert_allclose(bones[2, :, 1], 0.9, atol=1e-6)  # the root: with itself
    steps = make(path, "test", UTD, vel=True, flat=True)[1][0]
    np.testing.assert_allclose(steps[:2, :-1], x[:2, 1:] - x[:2, :-1], atol=1e-6)
    np.testing.assert_allclose(steps[2, :-1, 0], 1, atol=1e-6)


@pytest.mark.parametrize(("third", "flat"), [(0.0, True), (1.0, True), (-0.1, False), (2.5, False)])
def test_a_third_channel_beyond_0_and_1_is_a_depth(tmp_path: Path, tree, third: float, flat: bool) -> None:
    x = flat_clips()
    x[1, 2, 40, 3] = third
    assert tree.load("feeders.feeder_clips.Feeder")(save(tmp_path / "a.npz", x), "train", UTD).flat == flat
    assert not tree.load("feeders.feeder_clips.Feeder")(str(tmp_path / "a.npz"), "train", UTD, flat=False).flat


@pytest.mark.parametrize(("options", "what"), [
    ({"skeleton": NTU}, "needs float32"), ({"skeleton": "skeleton_lab.skeletons.Skeleton"}, "is no Skeleton"),
    ({"skeleton": "skeleton_lab.skeletons.NTU_52"}, "no attribute"), ({"split": "valid"}, "there is no split"),
    ({"p_interval": [2]}, "p_interval"), ({"window_size": 0}, "window_size"), ({"data_path": "none.npz"}, "none.npz")])
def test_bad_options_are_one_line(tmp_path: Path, tree, options, what: str) -> None:
    arguments = {"data_path": str(write(tmp_path / "utd.npz", 20, 1)), "split": "test", "skeleton": UTD} | options
    with pytest.raises(UserError, match=what):
        tree.load("feeders.feeder_clips.Feeder")(**arguments)


@pytest.mark.parametrize("name", ["utd_mhad", "msr_action3d", "ucla"])
def test_graphs(tree, name: str) -> None:
    assert tree.load(f"graph.{name}.Graph")().A.shape == (3, 20, 20)


def test_data_of_another_skeleton_are_refused_and_names_are_offered(tree, tmp_path: Path) -> None:
    feeder = tree.load("feeders.feeder_clips.Feeder")
    path = tmp_path / "x.npz"
    arrays = {"x_test": np.ones((2, 3, 5, 20, 1), np.float32), "y_test": np.arange(2)}
    np.savez(path, **arrays, class_names=np.array(["wave", "bow"]), names_test=np.array(["ann", "bob"]))
    opened = feeder(str(path), "test", UTD)
    assert opened.class_names == ("wave", "bow") and opened.recorded(1).title == "test_1 bob"
    np.savez(path, **arrays, skeleton=np.array("UCLA_20"))
    with pytest.raises(UserError, match=r"x\.npz: its skeleton is NW-UCLA .* but UTD-MHAD .* is expected"):
        feeder(str(path), "test", UTD)
