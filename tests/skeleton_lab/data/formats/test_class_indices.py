"""Labels of any form: the same classes from every form and every reader, and what is no label refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.feeders.samples import read_samples
from skeleton_lab.data.formats import archive, layouts
from skeleton_lab.data.formats.class_indices import class_indices, read_archive_labels, require_known
from skeleton_lab.data.formats.packed import open_packed
from skeleton_lab.errors import UserError
from tests.archives import kaggle_arrays

CLASSES = [3, 0, 4, 4, 1, 2, 0]
FORMS = {
    "indices": np.array(CLASSES), "column": np.array(CLASSES)[:, None], "row": np.array(CLASSES)[None],
    "MATLAB's column of doubles": np.asfortranarray(np.array(CLASSES, float)[:, None]),
    "uint8": np.array(CLASSES, np.uint8)[:, None], "big-endian": np.array(CLASSES, ">i2"),
    "half": np.array(CLASSES, np.float16), "one-hot": np.eye(5)[CLASSES],
    "one-hot bytes": np.eye(9, dtype="u1")[CLASSES], "one-hot booleans": np.eye(5, dtype=bool)[CLASSES],
    "one-hot in Fortran order": np.asfortranarray(np.eye(5)[CLASSES]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_reader_gives_the_same_classes(tmp_path, form):
    labels, path = FORMS[form], tmp_path / "a.npz"
    assert class_indices(labels, "labels", 7).tolist() == CLASSES
    np.savez(path, **kaggle_arrays(num_train=7) | {"y_train": labels})
    split = layouts.open_split(path, "train")
    assert split.labels.dtype == np.int64 and split.labels.tolist() == CLASSES
    assert split.num_classes == (labels.shape[1] if "one-hot" in form else None)
    assert read_samples(path)["train"].labels.tolist() == CLASSES
    np.savez(path, x_train=np.ones((7, 75), np.float32), y_train=labels,
             tracks_train=np.stack([np.ones(7, np.int64), np.arange(7), np.full(7, -1)], axis=1))
    assert open_packed(path, "train").labels.tolist() == CLASSES


def test_lists_are_read_too():
    assert class_indices(CLASSES, "labels").tolist() == CLASSES
    assert class_indices([[label] for label in CLASSES], "labels").tolist() == CLASSES
    assert class_indices([], "labels").tolist() == []
    assert class_indices([True, False], "labels").tolist() == [1, 0]


@pytest.mark.parametrize(("values", "complaint"), [
    (np.array([[0, 1], [0, 0]]), "labels: the label of clip 1 is not one-hot"),  # all zeros: no class, not class 0
    (np.array([[0, 1], [1, 1]]), "clip 1 is not one-hot"), (np.array([[0, 1], [0, 2]]), "clip 1 is not one-hot"),
    (np.array([[0.7, 0.3], [0, 1]]), "clip 0 is not one-hot"), (np.array([0, 1.5]), "clip 1 is not a whole number"),
    (np.array([0, np.inf]), "clip 1 is not a whole number"), (np.array([2**63, 0], np.uint64), "not a whole number"),
    (np.array([0, -2]), "clip 1 is -2, outside 0..99999"), (np.array(["a"]), "labels is <U1 of shape (1,)"),
    (np.array(["2020-01-01"], "M8[D]"), "labels is datetime64[D]"), (np.array([1j]), "labels is complex128"),
    (np.array([None]), "labels is object"), (np.zeros((2, 2, 1)), "expected one-hot (N, K) or class indices (N,)"),
    ([[0], [0, 1]], "lists of different lengths"), (np.float64(3), "of shape ()"),
])
def test_what_is_no_label_is_refused(values, complaint):
    with pytest.raises(UserError) as error:
        class_indices(values, "labels")
    assert complaint in str(error.value) and "\n" not in str(error.value)


def test_labels_beyond_the_classes_are_refused():
    assert class_indices([0, 4], "labels", num_classes=5).tolist() == [0, 4]
    with pytest.raises(UserError, match=r"clip 1 is 5, outside 0\.\.4"):
        class_indices([0, 5], "labels", num_classes=5)


def test_labels_that_are_not_known():
    assert class_indices([0, -1, 2], "labels").tolist() == [0, -1, 2]
    require_known(np.array([0, 2]), "a.json")
    with pytest.raises(UserError, match=r"a\.json: the label of clip 1 is -1, .* \(2 such\)"):
        require_known(np.array([0, -1, -1]), "a.json")


@pytest.mark.parametrize(("train", "test", "told"), [
    ([1, 2, 3], [3, 1], True), ([[1], [2], [3]], [1], True), ([1, 3, -1], [2], True), ([1, 1, 1], [1], True),
    ([1, 2, 3], [0, 2], False), ([0, 1, 2], [1], False), ([2, 3, 4], [2], False), ([-1, -1, -1], [-1], False),
    ([[0, 1], [0, 1], [0, 1]], [1], False),  # one-hot: class 0 has a column
])
def test_labels_that_begin_at_1_are_pointed_out_unless_another_split_has_class_0(tmp_path, train, test, told):
    np.savez(tmp_path / "a.npz", y_train=train, y_test=test)
    said: list[str] = []
    labels = read_archive_labels(tmp_path / "a.npz", "y_train", 3, say=said.append)
    assert bool(said) == told and len(labels) == 3
    assert not told or (f"a.npz: 'y_train' has labels from 1 to {labels.max()} and no 0" in said[0]
                        and "subtract 1 from all labels" in said[0])


def test_two_splits_that_begin_at_1_are_each_read_once(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", y_train=[1, 2], y_test=[1])
    blocks, read = archive.read_blocks, []
    monkeypatch.setattr(archive, "read_blocks", lambda path, key: read.append(key) or blocks(path, key))
    read_archive_labels(tmp_path / "a.npz", "y_train", say=lambda line: None)
    assert read == ["y_train", "y_test"]
