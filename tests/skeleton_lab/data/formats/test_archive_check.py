"""What `inspect_npz.py --check` finds: what the readers say of the same file, and what is only good to know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats import archive, archive_check, layouts
from skeleton_lab.data.formats.archive_check import Findings
from skeleton_lab.errors import UserError
from tests.archives import converted_arrays, kaggle_arrays


def check(path: Path) -> Findings:
    """Return what the inspection finds."""
    headers, findings = archive.list_arrays(path), Findings()
    splits, complaints = archive_check.read_splits(path, headers)
    labels = archive_check.read_labels(splits, findings, read_all=True)
    archive_check.check_splits(path, headers, splits, complaints, findings)
    archive_check.check_classes(splits, labels, findings)
    archive_check.check_clips(path, headers, splits, findings, lambda nbytes: None)
    return findings


def saved(path: Path, **changes) -> Path:
    arrays = kaggle_arrays(num_test=5) | changes
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


CLIPS = kaggle_arrays()["x_train"]


@pytest.mark.parametrize(("changes", "problem"), [
    ({"y_train": np.array(list("abcdefg"))}, "'y_train' is <U1 of shape (7,); expected one-hot"),
    ({"y_train": np.array([b"walk"] * 7)}, "'y_train' is |S4 of shape (7,)"),
    ({"y_train": np.arange(7).astype("M8[D]")}, "'y_train' is datetime64[D] of shape (7,)"),
    ({"y_train": np.arange(7).astype(complex)}, "'y_train' is complex128 of shape (7,)"),
    ({"y_train": np.zeros((7, 5))}, "the label of clip 0 in 'y_train' is not one-hot"),
    ({"y_train": np.arange(6)}, "'x_train' has 7 clips but 'y_train' has 6 labels"),
    ({"y_train": np.full(7, 2.5)}, "the label of clip 0 in 'y_train' is not a whole number"),
    ({"x_train": CLIPS.astype(np.int32)}, "'x_train' is int32; clips are float32"),
    ({"x_train": CLIPS.astype(np.complex64)}, "'x_train' is complex64; clips are float32"),
    ({"x_train": CLIPS[:, :0]}, "'x_train' has shape (7, 0, 150), clips without frames"),
    ({"x_train": CLIPS[:, :, :75]}, "'x_train' has shape (7, 9, 75); expected (N, T, 150) or"),
    ({"x_train": np.zeros((7, 3, 0, 17, 1), "f4")}, "'x_train' has shape (7, 3, 0, 17, 1), clips without frames"),
])
def test_it_says_what_the_readers_say(tmp_path, changes, problem):
    path = saved(tmp_path / "a.npz", **changes)
    with pytest.raises(UserError) as refused:
        layouts.open_split(path, "train")
    reader = str(refused.value).removeprefix(f"{path}: ")
    found = check(path).problems
    assert found and found[0].startswith("train: ") and problem in found[0]
    assert found[0] == f"train: {reader}" or "expected (N, T, 150)" in problem or "17, 1" in problem


@pytest.mark.parametrize(("changes", "note"), [
    ({"y_train": np.arange(1, 8)[:, None], "y_test": np.array([1, 2, 3, 4, 5])}, "'y_train' has labels from 1 to 7"),
    ({"y_test": np.array([0, 1, -1, -1, 2])}, "test: the class of 2 of 5 clips is not known (-1)"),
    ({"y_test": np.array([0, 1, 3, 3, 2])}, "test: no clip of class 4 (1 of the classes)"),
    ({"y_test": None}, "test: no 'y_test': its clips can be predicted"),
    ({"x_train": CLIPS[:0], "y_train": np.zeros((0, 5))}, "train: holds no clips"),
    ({"x_test": None, "y_test": None}, "test: there is no such split"),
])
def test_what_is_no_problem_is_a_note(tmp_path, changes, note):
    found = check(saved(tmp_path / "a.npz", **changes))
    assert found.problems == [] and any(note in line for line in found.notes), found


def test_labels_that_are_not_known_cannot_be_trained_on(tmp_path):
    [problem] = check(saved(tmp_path / "a.npz", y_train=np.array([0, 1, 2, -1, 4, 3, 2]))).problems
    assert "train: 'y_train': the label of clip 3 is -1" in problem


def test_gaps_in_clips(tmp_path):
    clips = CLIPS.copy()
    clips[2, :3], clips[4, 1] = 0, 0
    found = check(saved(tmp_path / "a.npz", x_train=clips))
    assert [line.partition(", which")[0] for line in found.problems] == [
        "x_train: clip 2: empty frames before its last one", "x_train: clip 4: empty frames before its last one"]


def test_clips_of_ones_own_skeleton(tmp_path):
    """Their feeder cuts clips between bodies, so gaps are notes; clips far longer than the others are named."""
    rng = np.random.default_rng(0)
    x = np.zeros((9, 3, 90, 17, 1), np.float32)
    for clip, length in zip(x, (20, 22, 21, 20, 90, 23, 20, 21, 22), strict=True):
        clip[:, :length] = rng.standard_normal((3, length, 17, 1))
    x[1, :, :5] = 0
    labels = np.arange(9) % 3
    np.savez(tmp_path / "own.npz", x_train=x, y_train=labels, x_test=x[:3], y_test=labels[:3, None].astype(np.uint8))
    found = check(tmp_path / "own.npz")
    assert found.problems == []
    assert "x_train: clips with empty frames before their last one: 1" in found.notes
    assert any("clip 4 (90)" in note and "half of which have 20 to 22 frames" in note for note in found.notes)
    np.savez(tmp_path / "own.npz", x_train=x.astype(float), y_train=labels)
    assert ["train: 'x_train' is float64" in problem for problem in check(tmp_path / "own.npz").problems] == [True]


def test_packed_archives_are_no_problem(tmp_path):
    tracks = np.stack([np.ones(7, np.int64), np.arange(7), np.full(7, -1)], axis=1)
    arrays = {f"{key}_{split}": value for split in ("train", "test")
              for key, value in (("x", np.ones((7, 75), np.float32)), ("tracks", tracks), ("y", np.arange(7)))}
    np.savez(tmp_path / "packed.npz", **arrays)
    assert check(tmp_path / "packed.npz").problems == []
    np.savez(tmp_path / "packed.npz", **arrays | {"y_test": np.arange(6)})
    assert ["test: 'tracks_test' has 7 clips but 'y_test' has 6 labels" in problem
            for problem in check(tmp_path / "packed.npz").problems] == [True]


def test_the_labs_own_archives_are_whole(tmp_path):
    np.savez(tmp_path / "a.npz", **converted_arrays(num_test=5))
    assert check(tmp_path / "a.npz") == Findings()
