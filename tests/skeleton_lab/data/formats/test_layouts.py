"""Layouts: what an archive's arrays mean, told by shape; labels in either form; bad ones named."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from skeleton_lab.data.formats import layouts
from skeleton_lab.errors import UserError
from tests.archives import converted_arrays, kaggle_arrays, write_sparse_npz


def complaint(function, *arguments) -> str:
    """Return the one line that a call on bad input raises."""
    with pytest.raises(UserError) as caught:
        function(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves the Kaggle arrays with some replaced (or dropped: None) and returns the path."""

    def save(save=np.savez, arrays=None, **changes):
        arrays = {**(arrays or kaggle_arrays()), **changes}
        save(tmp_path / "a.npz", **{key: array for key, array in arrays.items() if array is not None})
        return tmp_path / "a.npz"

    return save


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_layouts_give_the_same_clips_and_labels(tmp_path, split):
    np.savez(tmp_path / "kaggle.npz", **kaggle_arrays())
    np.savez(tmp_path / "converted.npz", **converted_arrays())
    kaggle = layouts.open_split(tmp_path / "kaggle.npz", split)
    converted = layouts.open_split(tmp_path / "converted.npz", split)
    assert (kaggle.layout, converted.layout) == ("kaggle", "converted")
    assert (kaggle.num_classes, converted.num_classes) == (5, None)
    assert kaggle.array.shape[1:] == (9, 150) and converted.array.shape[1:] == (3, 9, 25, 2)
    assert kaggle.num_clips == converted.num_clips == len(kaggle) == {"train": 7, "test": 4}[split]
    assert kaggle.num_frames == converted.num_frames == 9
    assert kaggle.labels.dtype == converted.labels.dtype == np.int64
    assert kaggle.labels.tolist() == converted.labels.tolist() == [i % 5 for i in range(len(kaggle))]
    for index in range(len(kaggle)):
        first, second = kaggle.frames(index), converted.frames(index)
        assert first.shape == second.shape == (9, 2, 25, 3) and first.dtype == second.dtype == np.float32
        assert first.tobytes() == second.tobytes()
        value = kaggle_arrays()[f"x_{split}"][index, 2, 75 + 3 * 7 + 1]
        assert first[2, 1, 7, 1] == value  # frame 2, second body, joint 7, y


def test_clips_are_read_only_views_of_the_file(saved):
    split = layouts.open_split(saved(), "train")
    for array in (split.array, split.frames(0)):
        assert not array.flags.writeable and not array.flags.owndata
    assert isinstance(split.array, np.memmap)
    with pytest.raises(IndexError):
        split.frames(7)


def test_a_split_travels_to_workers_as_a_path(saved):
    split = layouts.open_split(saved(), "test", 5)
    sent = pickle.dumps(split)
    assert len(sent) < 500
    received = pickle.loads(sent)
    assert (received.frames(2) == split.frames(2)).all() and (received.labels == split.labels).all()


def test_opening_ten_gigabytes(tmp_path):
    write_sparse_npz(tmp_path / "big.npz", {"x_train": ((56_578, 300, 150), "<f4"), "y_train": ((56_578,), "<i8")})
    split = layouts.open_split(tmp_path / "big.npz", "train")
    assert split.num_clips == 56_578 and not split.frames(56_577).any() and not split.labels.any()


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f4", "f8", ">f8"])
def test_one_hot_labels_of_any_type(saved, dtype):
    path = saved(y_train=np.eye(60)[[3, 59, 0, 0, 7, 8, 9]].astype(dtype))
    split = layouts.open_split(path, "train")
    assert split.labels.tolist() == [3, 59, 0, 0, 7, 8, 9] and split.num_classes == 60


@pytest.mark.parametrize("dtype", ["u1", "i4", ">i8", "f4"])
def test_class_indices_of_any_type(saved, dtype):
    split = layouts.open_split(saved(y_train=np.arange(7).astype(dtype)), "train", 7)
    assert split.labels.tolist() == list(range(7)) and split.num_classes is None


# --- bad input -------------------------------------------------------------------------------------------------------


def test_missing_file_split_and_key(saved, tmp_path):
    assert "no such file" in complaint(layouts.open_split, tmp_path / "no.npz", "train")
    assert "no split 'dev'" in complaint(layouts.open_split, saved(), "dev")
    assert "has no 'x_val', only x_train" in complaint(layouts.open_split, saved(), "val")
    assert "has no 'y_train', only x_train" in complaint(layouts.open_split, saved(y_train=None), "train")
    layouts.open_split(saved(y_test=None), "train")
    np.save(tmp_path / "a.npy", kaggle_arrays()["x_train"])
    assert "one unnamed array" in complaint(layouts.open_split, tmp_path / "a.npy", "train")


@pytest.mark.parametrize("shape", [(7, 9, 75), (7, 9, 2, 25, 3), (7, 9, 3, 25, 2), (7, 3, 9, 25), (7, 150),
                                   (7, 0, 150)])
def test_wrong_clip_shapes(saved, shape):
    line = complaint(layouts.open_split, saved(x_train=np.zeros(shape, np.float32)), "train")
    assert "'x_train' has shape" in line and str(shape) in line


@pytest.mark.parametrize("labels", [np.zeros((7, 5, 1)), np.zeros((7, 0)), np.float64(1), np.zeros(7, "U3"),
                                    np.zeros(7, complex)])
def test_wrong_label_shapes_and_types(saved, labels):
    assert "'y_train' is" in complaint(layouts.open_split, saved(y_train=labels), "train")


def test_counts_that_differ(saved):
    line = complaint(layouts.open_split, saved(y_train=np.arange(6)), "train")
    assert "7 clips" in line and "6 labels" in line


def test_an_empty_split(saved):
    path = saved(x_train=np.zeros((0, 9, 150), np.float32), y_train=np.zeros((0, 5)))
    assert "holds no clips" in complaint(layouts.open_split, path, "train")


@pytest.mark.parametrize(("dtype", "match"), [("f8", "<f8"), ("f2", "<f2"), (">f4", ">f4"),
                                               ("i4", "clips are float32")])
def test_clips_of_another_type_name_the_command(saved, dtype, match):
    path = saved(x_train=kaggle_arrays()["x_train"].astype(dtype))
    line = complaint(layouts.open_split, path, "train")
    assert match in line
    assert dtype == "i4" or f"convert_ntu60_kaggle_to_ctrgcn.py --input {path}" in line


def test_deflated_archives_name_the_command(saved):
    path = saved(np.savez_compressed)
    assert f"convert_ntu60_kaggle_to_ctrgcn.py --input {path}" in complaint(layouts.open_split, path, "train")


@pytest.mark.parametrize("row", [[0, 0, 0], [0, 5, 0], [0, 0.9, 0.1], [1, 1, 0], [0, -1, 0],
                                 [1, -1, 0], [np.nan, 0, 1], [np.nan, 0, 0]])
def test_labels_that_are_not_one_hot(saved, row):
    one_hot = np.eye(3)[[0, 1, 2, 0, 1, 2, 0]]
    one_hot[4] = row
    line = complaint(layouts.open_split, saved(y_train=one_hot), "train")
    assert "clip 4 in 'y_train' is not one-hot" in line


@pytest.mark.parametrize(("value", "num_classes", "match"), [
    (-2, None, "clip 3 in 'y_train' is -2, outside 0"), (10**9, None, "is 1000000000, outside 0"),
    (5, 5, "clip 3 in 'y_train' is 5, outside 0..4"),
    (0.5, None, "clip 3 in 'y_train' is not a whole number"), (np.nan, None, "not a whole number"),
    (1e30, None, "not a whole number")])
def test_labels_out_of_range(saved, value, num_classes, match):
    labels = np.array([0, 1, 2, value, 4, value, 1])
    assert match in complaint(layouts.open_split, saved(y_train=labels), "train", num_classes)


def test_one_hot_columns_beyond_the_classes(saved):
    assert "is 4, outside 0..3" in complaint(layouts.open_split, saved(), "train", 4)


# --- checking the data -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrays", [kaggle_arrays, converted_arrays])
def test_bad_clips_are_named(saved, arrays):
    clips = arrays()["x_train"]
    path = saved(arrays=arrays())
    assert list(layouts.check_clips(layouts.open_split(path, "train"))) == []
    clips[1] = 0
    clips[3].flat[17] = np.nan
    clips[6].flat[5] = -np.inf
    path = saved(arrays=arrays(), x_train=clips)
    expected = [(1, "no frames (all values are 0)"), (3, "NaN or infinite values"), (6, "NaN or infinite values")]
    assert list(layouts.check_clips(layouts.open_split(path, "train"))) == expected
    path = saved(np.savez_compressed, arrays=arrays(), x_train=clips)
    assert list(layouts.check_clips(layouts.read_header(path, "train"))) == expected


def test_a_bad_clip_is_refused_by_name():
    clip = np.ones((3, 4), np.float32)
    layouts.require_finite(clip, "a.npz", "train", 3)
    clip[1, 2] = np.nan
    assert "a.npz: clip 3 of the train split holds NaN" in complaint(layouts.require_finite, clip, "a.npz", "train", 3)


def test_large_finite_values_are_finite():
    assert layouts.all_finite(np.full(10, 3e38, np.float32))
    assert not layouts.all_finite(np.array([np.inf, -np.inf, 1], np.float32))


def test_layouts_by_shape():
    assert layouts.layout_of((7, 300, 150)) == "kaggle" and layouts.layout_of((7, 3, 300, 25, 2)) == "converted"
    assert layouts.layout_of((7, 300, 2, 25, 3)) is None
    frames = layouts.as_frames(converted_arrays()["x_train"][2:5], "converted")
    assert (frames == layouts.as_frames(kaggle_arrays()["x_train"], "kaggle")[2:5]).all()
