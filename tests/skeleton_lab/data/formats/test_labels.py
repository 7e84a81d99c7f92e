"""Label pickles: upstream's form, the swapped form of other converters, and what is neither."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from skeleton_lab.data.formats.labels import read_labels, write_labels
from skeleton_lab.errors import UserError

NAMES = ["S001C001P001R001A001.skeleton", "S002C001P001R001A003.skeleton", "S003C001P001R001A003.skeleton"]
LABELS = [0, 2, 2]


def pickled(tmp_path, value, protocol=2):
    path = tmp_path / "val_label.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def test_what_is_written_is_upstreams_tuple_and_reads_back(tmp_path):
    path = tmp_path / "val_label.pkl"
    write_labels(path, np.array(NAMES), np.array(LABELS))
    with open(path, "rb") as file:
        raw = pickle.load(file)
    assert raw == (NAMES, LABELS) and type(raw) is tuple and {type(label) for label in raw[1]} == {int}
    assert read_labels(path) == (NAMES, LABELS)


def test_names_and_labels_of_different_length_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="3 names, 2 labels"):
        write_labels(tmp_path / "val_label.pkl", NAMES, LABELS[:2])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [
    (NAMES, LABELS), [NAMES, LABELS], (tuple(NAMES), tuple(LABELS)), (LABELS, NAMES), (NAMES, np.array(LABELS)),
    (np.array(NAMES), list(np.array(LABELS))), ([name.encode() for name in NAMES], LABELS),
    (NAMES, np.array(LABELS, np.uint8)[:, None]), (np.array(NAMES)[None], np.array(LABELS, float)[None]),
    (NAMES, [[0], [2], [2]]), (NAMES, np.eye(4)[LABELS]), (NAMES, list(np.eye(4)[LABELS])),
    (NAMES, LABELS, [103, 71, 300]), (LABELS, NAMES, np.array([103, 71, 300])), ([7, 5, 9], np.eye(3)[LABELS]),
], ids=["upstream", "list", "tuples", "swapped", "array", "numpy numbers", "bytes", "column", "rows", "lists of one",
        "one-hot", "list of one-hot rows", "with lengths", "swapped, with lengths", "ids and one-hot"])
def test_the_forms_of_a_label_pickle(tmp_path, value):
    names, labels = read_labels(pickled(tmp_path, value))
    assert names == (NAMES if names != ["7", "5", "9"] else names)
    assert labels == LABELS and {type(label) for label in labels} == {int}


def test_a_label_of_one_clip(tmp_path):
    assert read_labels(pickled(tmp_path, (["a"], np.eye(3)[2:]))) == (["a"], [2])
    assert read_labels(pickled(tmp_path, (["a"], np.array([[2]])))) == (["a"], [2])


def test_a_label_that_is_not_known(tmp_path):
    assert read_labels(pickled(tmp_path, (NAMES, [0, -1, 2]))) == (NAMES, [0, -1, 2])


def test_labels_that_begin_at_1_are_pointed_out(tmp_path):
    said: list[str] = []
    assert read_labels(pickled(tmp_path, (NAMES, [1, 2, -1])), said.append)[1] == [1, 2, -1]
    assert read_labels(pickled(tmp_path, (NAMES, [0, 2, 2])), said.append)[1] == [0, 2, 2]
    assert len(said) == 1 and "val_label.pkl: 'labels' has labels from 1 to 2 and no 0" in said[0]
    assert "subtract 1" in said[0]


def test_a_row_that_is_named_a_million_times_takes_no_memory(tmp_path):
    row = [0] * 100_000
    with pytest.raises(UserError, match="found a list of 100000 in it"):
        read_labels(pickled(tmp_path, (NAMES, [row] * 100_000)))


def test_a_python_2_pickle(tmp_path):
    path = tmp_path / "val_label.pkl"
    path.write_bytes(b"(lp0\nS'S001.skeleton'\np1\naS'caf\\xe9'\np2\na(lp3\nI0\naI5\na\x86p4\n.")  # protocol 0 strings
    assert read_labels(path) == (["S001.skeleton", "café"], [0, 5])


@pytest.mark.parametrize(("value", "names", "labels"), [
    (([4, 4, 0], [0, 1, 2]), ["0", "1", "2"], [4, 4, 0]),
    (([0, 1, 2], [4, 4, 0]), ["0", "1", "2"], [4, 4, 0]),
    (([1, 0], [0, 1]), ["0", "1"], [1, 0]),
    (([7, 7, 3], [20, 30, 10]), ["20", "30", "10"], [7, 7, 3]),
    (([0, 1], [0, 1]), ["0", "1"], [0, 1]),
    (([], []), [], []),
])
def test_integer_ids_are_told_from_labels(tmp_path, value, names, labels):
    assert read_labels(pickled(tmp_path, value)) == (names, labels)


@pytest.mark.parametrize(("value", "complaint"), [
    ({"a": 1}, "found a dict of 1"), ("text", "found str 'text'"), ((NAMES,), "found a tuple of 1"), (5, "found int 5"),
    ((NAMES, LABELS, NAMES), "the third is the clips' lengths"), ((NAMES, LABELS[:2]), "3 and 2 entries"),
    ((NAMES, LABELS, [300, 300]), "3, 3 and 2 entries"), ((NAMES, LABELS, LABELS, LABELS), "found a tuple of 4"),
    ((NAMES, np.array([[0, 1], [0, 0], [1, 0]])), "the label of clip 1 is not one-hot"),
    ((NAMES, [[0, 1], [0], [1, 0]]), "found a list of 3 in it"), ((NAMES, [0, 2**70, 1]), "found a list of 3 in it"),
    ((NAMES, [0, 100_000, 1]), "the label of clip 1 in 'labels' is 100000, outside 0..99999"),
    ((NAMES, NAMES), "two lists of names"),
    ((NAMES, [0.5, 1.0, 2.0]), "found a list of 3 in it"), ((NAMES, [0, -2, 2]), "clip 1 in 'labels' is -2, outside"),
    (([5, 3], [9, 8]), "either may be the labels"), ((NAMES, 3), "found int 3 in it"), ((NAMES, ["a", 1, 2]), "in it"),
])
def test_what_is_no_label_pickle_is_one_line_with_the_file(tmp_path, value, complaint):
    with pytest.raises(UserError, match=r"val_label\.pkl: ") as error:
        read_labels(pickled(tmp_path, value))
    assert complaint in str(error.value) and "\n" not in str(error.value)
