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


@pytest.mark.parametrize(("options", "what"), [
    ({"skeleton": NTU}, "needs float32"), ({"skeleton": "skeleton_lab.skeletons.Skeleton"}, "is no Skeleton"),
    ({"skeleton": "skeleton_lab.skeletons.NTU_52"}, "no attribute"), ({"split": "val"}, "there is no split"),
    ({"p_interval": [2]}, "p_interval"), ({"window_size": 0}, "window_size"), ({"data_path": "none.npz"}, "none.npz")])
def test_bad_options_are_one_line(tmp_path: Path, tree, options, what: str) -> None:
    arguments = {"data_path": str(write(tmp_path / "utd.npz", 20, 1)), "split": "test", "skeleton": UTD} | options
    with pytest.raises(UserError, match=what):
        tree.load("feeders.feeder_clips.Feeder")(**arguments)


@pytest.mark.parametrize("name", ["utd_mhad", "msr_action3d", "ucla"])
def test_graphs(tree, name: str) -> None:
    assert tree.load(f"graph.{name}.Graph")().A.shape == (3, 20, 20)
