"""The samples of a data set by name: as the feeders name them."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.feeders.samples import read_samples
from skeleton_lab.data.feeders.ucla_split import recordings
from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.errors import UserError
from tests.scripts.small_archive import write_pair


def test_archives_name_their_clips_by_split_and_row(tmp_path):
    for path in write_pair(tmp_path, num_train=5, num_test=3, num_classes=4):  # one-hot labels, class indices
        found = read_samples(path)
        assert {split: samples.names for split, samples in found.items()} == {
            "train": [f"train_{row}" for row in range(5)], "test": [f"test_{row}" for row in range(3)]}
        assert found["train"].labels.tolist() == [0, 1, 2, 3, 0] and found["test"].labels.dtype == np.int64


def test_a_row_of_labels_is_told_from_one_clips_one_hot_label(tmp_path):
    for labels, num_clips, expected in (([[0, 1, 0]], 1, [1]), ([[0, 1, 0]], 3, [0, 1, 0]), ([[0, 1, 0]], 0, [1]),
                                        ([[0, 2, 1]], 0, [0, 2, 1]), ([[1], [-1]], 0, [1, -1])):
        arrays = {"y_test": np.array(labels)} | ({"x_test": np.zeros((num_clips, 9, 150))} if num_clips else {})
        np.savez(tmp_path / "a.npz", **arrays)
        assert read_samples(tmp_path / "a.npz")["test"].labels.tolist() == expected


def test_label_pickles_have_names(tmp_path):
    write_labels(tmp_path / "train_label.pkl", ["b.skeleton", "a.skeleton"], [3, 1])
    [(split, samples)] = read_samples(tmp_path / "train_label.pkl").items()
    assert (split, samples.names, samples.labels.tolist()) == ("all", ["b.skeleton", "a.skeleton"], [3, 1])


def test_ucla_is_known_by_its_recordings(tmp_path):
    with pytest.raises(UserError, match="NW-UCLA"):
        read_samples(tmp_path)
    for part in ("train", "val"):
        (tmp_path / f"{recordings(part)[0].name}.json").touch()
    found = read_samples(tmp_path)
    assert (len(found["train"].names), len(found["test"].names)) == (1020, 464)


@pytest.mark.parametrize(("arrays", "part"), [
    ({"x": np.ones(3)}, "neither 'y_train' nor 'y_test'"), ({"y_train": np.array([0.5, 1])}, "clip 0 in"),
    ({"y_train": np.array([-2, 1])}, "clip 0 in 'y_train' is -2"), ({"y_test": np.array([np.nan, 1])}, "not a whole"),
    ({"y_train": np.array([[1, 0], [0, 0]])}, "clip 1 in 'y_train' is not one-hot"),
    ({"y_train": np.zeros((2, 2, 2))}, "expected one-hot"), ({"y_train": np.array(["a"])}, "expected one-hot"),
])
def test_refuses_in_one_line(tmp_path, arrays, part):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(UserError, match=part):
        read_samples(tmp_path / "data.npz")
