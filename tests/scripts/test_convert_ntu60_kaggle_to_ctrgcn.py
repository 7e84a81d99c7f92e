"""convert_ntu60_kaggle_to_ctrgcn.py, by its command line."""

from __future__ import annotations

import os
import shlex

import numpy as np
import pytest

from skeleton_lab.data.formats.archive import map_array
from skeleton_lab.errors import UserError
from tests.archives import KEYS, converted_arrays, kaggle_arrays

SCRIPT = "convert_ntu60_kaggle_to_ctrgcn.py"


@pytest.fixture
def convert(run_script):
    def run(source, *flags):
        finished = run_script(SCRIPT, "--input", source, *flags)
        assert finished.returncode == 0, finished.stderr
        assert finished.stderr == ""
        return finished.stdout

    return run


@pytest.fixture
def refused(run_script, tmp_path):
    """Return a function that runs the script on bad input and returns its one line; nothing may be left behind."""

    def run(source, *flags):
        before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
        finished = run_script(SCRIPT, "--input", source, *flags)
        assert finished.returncode == 2
        assert finished.stderr.startswith("error: ") and finished.stderr.count("\n") == 1
        assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return finished.stderr

    return run


def assert_holds(path, expected: dict) -> None:
    with np.load(path, allow_pickle=False) as loaded:
        assert loaded.files == list(KEYS)
        for key in KEYS:
            assert loaded[key].dtype == (np.int64 if key.startswith("y") else np.float32)
            assert loaded[key].shape == expected[key].shape and loaded[key].tobytes() == expected[key].tobytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_clips_and_labels_are_bit_identical(convert, tmp_path, save):
    sizes = {"num_train": 230, "num_test": 3, "num_frames": 31, "num_classes": 60}  # more than one block
    save(tmp_path / "NTU60_CS.npz", **kaggle_arrays(**sizes))
    text = convert(tmp_path / "NTU60_CS.npz")
    output = tmp_path / "NTU60_CS_ctrgcn.npz"
    assert f"wrote {output}" in text and "train: 230 clips of 31 frames, 60 classes" in text
    assert_holds(output, converted_arrays(**sizes))
    assert sorted(os.listdir(tmp_path)) == ["NTU60_CS.npz", "NTU60_CS_ctrgcn.npz"]


def test_the_two_commands_with_an_output(convert, tmp_path):
    """`--input .../kaggle_raw/NTU60_CS.npz --output .../ctrgcn/NTU60_CS.npz`, into a folder that is not there yet."""
    (tmp_path / "kaggle_raw").mkdir()
    np.savez(tmp_path / "kaggle_raw" / "NTU60_CS.npz", **kaggle_arrays())
    convert(tmp_path / "kaggle_raw" / "NTU60_CS.npz", "--output", tmp_path / "ctrgcn" / "NTU60_CS.npz")
    assert_holds(tmp_path / "ctrgcn" / "NTU60_CS.npz", converted_arrays())


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4"])
def test_other_floating_point_types(convert, tmp_path, dtype):
    arrays = kaggle_arrays()
    expected = converted_arrays()
    for split in ("train", "test"):
        arrays[f"x_{split}"] = arrays[f"x_{split}"].astype(dtype)
        expected[f"x_{split}"] = expected[f"x_{split}"].astype(dtype).astype(np.float32)
    np.savez(tmp_path / "a.npz", **arrays)
    convert(tmp_path / "a.npz")
    assert_holds(tmp_path / "a_ctrgcn.npz", expected)


def test_class_indices_stay(convert, tmp_path):
    np.savez(tmp_path / "a.npz", **{**kaggle_arrays(), "y_train": converted_arrays()["y_train"].astype(np.uint8)})
    convert(tmp_path / "a.npz")
    assert_holds(tmp_path / "a_ctrgcn.npz", converted_arrays())


def test_a_symbolic_link_as_input(convert, tmp_path):
    (tmp_path / "kaggle_raw").mkdir()
    (tmp_path / "ctrgcn").mkdir()
    np.savez(tmp_path / "kaggle_raw" / "NTU60_CS.npz", **kaggle_arrays())
    (tmp_path / "ctrgcn" / "NTU60_CS.npz").symlink_to("../kaggle_raw/NTU60_CS.npz")
    convert(tmp_path / "ctrgcn" / "NTU60_CS.npz")
    assert_holds(tmp_path / "ctrgcn" / "NTU60_CS_ctrgcn.npz", converted_arrays())
    assert os.listdir(tmp_path / "kaggle_raw") == ["NTU60_CS.npz"]


def test_running_the_command_again_leaves_the_output(convert, tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **kaggle_arrays())
        convert(tmp_path / "a.npz", "--overwrite")
        before = os.stat(tmp_path / "a_ctrgcn.npz")
        assert "left as it is" in convert(tmp_path / "a.npz")
        after = os.stat(tmp_path / "a_ctrgcn.npz")
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_clips_without_frames_are_kept_and_mentioned(convert, tmp_path):
    arrays = kaggle_arrays()
    arrays["x_test"][1] = 0
    np.savez(tmp_path / "a.npz", **arrays)
    assert "1 clips have no frames (all values are 0): test 1" in convert(tmp_path / "a.npz")


def test_already_converted_input_is_told_and_linked(convert, tmp_path):
    np.savez(tmp_path / "a.npz", **converted_arrays())
    text = convert(tmp_path / "a.npz")
    assert "already converted" in text and "a second name" in text
    assert_holds(tmp_path / "a_ctrgcn.npz", converted_arrays())
    assert (tmp_path / "a_ctrgcn.npz").samefile(tmp_path / "a.npz")
    for output in ("a_ctrgcn.npz", "a.npz"):
        assert "already converted" in convert(tmp_path / "a.npz", "--output", tmp_path / output)
    assert_holds(tmp_path / "a.npz", converted_arrays())
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "a_ctrgcn.npz"]


@pytest.mark.parametrize("change", ["deflated", "float64", "one-hot"])
def test_five_axes_that_cannot_be_mapped_are_rewritten_unscrambled(convert, tmp_path, change):
    arrays = converted_arrays()
    if change == "float64":
        arrays["x_test"] = arrays["x_test"].astype(np.float64)
    if change == "one-hot":
        arrays["y_train"] = kaggle_arrays()["y_train"]
    (np.savez_compressed if change == "deflated" else np.savez)(tmp_path / "a.npz", **arrays)
    assert "wrote" in convert(tmp_path / "a.npz")
    assert_holds(tmp_path / "a_ctrgcn.npz", converted_arrays())


# --- bad input: one line, status 2, and every file as it was ---------------------------------------------------------


def test_an_existing_output_is_replaced_only_on_request(convert, refused, tmp_path):
    np.savez(tmp_path / "a.npz", **kaggle_arrays())
    (tmp_path / "b.npz").write_text("something precious")
    assert "--overwrite" in refused(tmp_path / "a.npz", "--output", tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", **{**converted_arrays(), "x_test": converted_arrays()["x_test"] + 1})
    assert "--overwrite" in refused(tmp_path / "a.npz", "--output", tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", **{**converted_arrays(), "y_test": converted_arrays()["y_test"] + 1})
    assert "--overwrite" in refused(tmp_path / "a.npz", "--output", tmp_path / "b.npz")
    convert(tmp_path / "a.npz", "--output", tmp_path / "b.npz", "--overwrite")
    assert_holds(tmp_path / "b.npz", converted_arrays())


def test_the_input_is_never_the_output(refused, tmp_path):
    np.savez(tmp_path / "a.npz", **kaggle_arrays())
    (tmp_path / "link.npz").symlink_to("a.npz")
    for output in ("a.npz", "link.npz"):
        line = refused(tmp_path / "a.npz", "--output", tmp_path / output, "--overwrite")
        assert "is the input itself" in line
    assert "is the input itself" in refused(tmp_path / "link.npz", "--output", tmp_path / "a.npz")


def test_outputs_that_cannot_be_written(refused, tmp_path):
    np.savez(tmp_path / "a.npz", **kaggle_arrays())
    (tmp_path / "folder").mkdir()
    assert "is a folder" in refused(tmp_path / "a.npz", "--output", tmp_path / "folder")
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused(tmp_path / "a.npz", "--output", tmp_path / "file" / "out.npz")


def test_missing_and_damaged_files(refused, tmp_path):
    assert "no such file" in refused(tmp_path / "no.npz")
    (tmp_path / "link.npz").symlink_to("gone.npz")
    assert "gone.npz" in refused(tmp_path / "link.npz")
    np.savez(tmp_path / "a.npz", **kaggle_arrays(num_train=50))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[:len(content) // 2])
    assert "damaged" in refused(tmp_path / "a.npz")
    flipped = bytearray(content)
    flipped[100_000] ^= 1
    (tmp_path / "a.npz").write_bytes(flipped)
    assert "checksum" in refused(tmp_path / "a.npz")


@pytest.mark.parametrize(("change", "match"), [
    ({"x_test": None}, "has no 'x_test'"),
    ({"y_train": None}, "has no 'y_train'"),
    ({"x_train": np.zeros((7, 9, 75), np.float32)}, "'x_train' has shape (7, 9, 75)"),
    ({"x_train": np.zeros((7, 9, 150), np.int32)}, "clips are float32"),
    ({"x_train": np.asfortranarray(kaggle_arrays()["x_train"])}, "Fortran"),
    ({"y_train": np.zeros((7, 5))}, "clip 0 in 'y_train' is not one-hot"),
    ({"y_train": np.array([0, 1, 2, 3, 4, 5, -7])}, "clip 6 in 'y_train' is -7"),
    ({"y_test": np.eye(5)}, "4 clips but 'y_test' has 5 labels"),
])
def test_wrong_arrays(refused, tmp_path, change, match):
    arrays = {key: array for key, array in {**kaggle_arrays(), **change}.items() if array is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    assert match in refused(tmp_path / "a.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_numbers_name_the_clip(refused, tmp_path, value):
    arrays = kaggle_arrays()
    arrays["x_test"] = arrays["x_test"].astype(np.float64)
    arrays["x_test"][2, 3, 77] = value  # 1e300 is not a float32
    np.savez(tmp_path / "a.npz", **arrays)
    assert "clip 2 of the test split holds NaN or infinite values" in refused(tmp_path / "a.npz")


def test_an_own_deflated_archive_of_one_split_is_unpacked_and_keeps_its_names(convert, tmp_path):
    """What the refusal of a deflated archive advises works, whatever its skeleton."""
    clips = np.random.default_rng(0).normal(size=(4, 3, 20, 17, 1)).astype(np.float32)
    names = {"class_names": np.array(["a", "b"]), "names_test": np.array(list("wxyz")), "fps": np.array(25.0)}
    np.savez_compressed(tmp_path / "own.npz", x_test=clips, y_test=np.eye(2)[[0, 1, 1, 0]], **names)
    with pytest.raises(UserError, match=r"deflated .* unpack it once: python3 convert_ntu60_kaggle_to_ctrgcn") as told:
        map_array(tmp_path / "own.npz", "x_test")
    words = shlex.split(str(told.value).partition("unpack it once: ")[2])
    assert words[:2] == ["python3", SCRIPT]
    convert(tmp_path / "own.npz", *words[4:])
    assert map_array(tmp_path / "own_ctrgcn.npz", "x_test").tolist() == clips.tolist()
    with np.load(tmp_path / "own_ctrgcn.npz") as made:
        assert made["y_test"].tolist() == [0, 1, 1, 0] and "x_train" not in made
        assert all(made[key].tolist() == value.tolist() for key, value in names.items())
    assert "already holds these clips and labels" in convert(tmp_path / "own.npz")


@pytest.mark.parametrize("others", [True, False])
def test_a_third_split_is_converted_too(convert, tmp_path, others):
    """Clips for choosing the epoch, which some archives have besides train and test, or alone."""
    arrays = kaggle_arrays() if others else {}
    val = kaggle_arrays(num_train=3)
    np.savez(tmp_path / "a.npz", **arrays, x_val=val["x_train"], y_val=val["y_train"])
    assert "val: 3 clips of 9 frames" in convert(tmp_path / "a.npz")
    expected = converted_arrays(num_train=3)
    with np.load(tmp_path / "a_ctrgcn.npz") as made:
        assert set(made.files) == {*arrays, "x_val", "y_val"}
        np.testing.assert_array_equal(made["x_val"], expected["x_train"])
        assert made["y_val"].tolist() == expected["y_train"].tolist()
