"""dataset_tools/inspect_npz.py, by its command line."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.archives import converted_arrays, kaggle_arrays, write_sparse_npz

SCRIPT = "dataset_tools/inspect_npz.py"


@pytest.fixture
def inspect(run_script):
    def run(path, *flags, status=0):
        finished = run_script(SCRIPT, "--path", path, *flags)
        assert finished.returncode == status, finished.stdout + finished.stderr
        assert finished.stderr == ""
        return finished.stdout

    return run


@pytest.mark.parametrize("flags", [(), ("--input",), ("--path",)])
def test_the_file_may_be_given_in_any_way(run_script, tmp_path, flags):
    np.savez(tmp_path / "a.npz", **kaggle_arrays())
    assert run_script(SCRIPT, *flags, tmp_path / "a.npz").stdout.startswith(f"{tmp_path / 'a.npz'}: .npz")


@pytest.fixture
def refused(run_script):
    def run(path, *flags):
        finished = run_script(SCRIPT, "--path", path, *flags)
        assert finished.returncode == 2 and finished.stdout == ""
        assert finished.stderr.startswith("error: ") and finished.stderr.count("\n") == 1
        return finished.stderr

    return run


def test_the_kaggle_archive(inspect, tmp_path):
    """The real archive's shapes, 10 GB, as a sparse file."""
    path = tmp_path / "NTU60_CS.npz"
    write_sparse_npz(path, {"x_train": ((40_091, 300, 150), "<f4"), "y_train": ((40_091, 60), "<f8"),
                            "x_test": ((16_487, 300, 150), "<f4"), "y_test": ((16_487, 60), "<f8")})
    assert [line for line in inspect(path).splitlines() if line] == [
        f"{path}: .npz, 10.21 GB",
        "array    shape              dtype    size     storage",
        "x_train  (40091, 300, 150)  float32  7.22 GB  stored",
        "y_train  (40091, 60)        float64  19.2 MB  stored",
        "x_test   (16487, 300, 150)  float32  2.97 GB  stored",
        "y_test   (16487, 60)        float64  7.91 MB  stored",
        "layout: kaggle, clips (N, T, 150)",
        "train: 40091 clips of 300 frames, labels: one-hot, 60 classes",
        "test: 16487 clips of 300 frames, labels: one-hot, 60 classes",
    ]


def test_json(inspect, tmp_path):
    np.savez(tmp_path / "a.npz", **converted_arrays())
    report = json.loads(inspect(tmp_path / "a.npz", "--json"))
    assert report["kind"] == "npz" and report["file_bytes"] == (tmp_path / "a.npz").stat().st_size
    assert report["arrays"][0] == {"key": "x_train", "shape": [7, 3, 9, 25, 2], "dtype": "float32",
                                   "bytes": 7 * 150 * 9 * 4, "storage": "stored"}
    assert report["layout"] == "converted" and "problems" not in report
    assert report["splits"]["test"] == {"num_clips": 4, "num_frames": 9, "layout": "converted",
                                        "label_form": "class index", "num_classes": 5}


def test_deflated_archives_are_read_and_the_remedy_is_named(inspect, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **kaggle_arrays())
    text = inspect(tmp_path / "a.npz")
    assert "deflated" in text and "layout: kaggle" in text
    assert f"python3 convert_ntu60_kaggle_to_ctrgcn.py --input {tmp_path}/a.npz" in text


def test_npy_and_h5(inspect, tmp_path):
    np.save(tmp_path / "train_data_joint.npy", converted_arrays()["x_train"])
    assert "layout: converted, clips (N, C=3, T, V=25, M=2)" in inspect(tmp_path / "train_data_joint.npy", "--check")
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, array in kaggle_arrays(num_test=5).items():
            file.create_dataset(key, data=array, compression="gzip")
    text = inspect(tmp_path / "a.h5", "--check")
    assert "layout: kaggle" in text and "no problems" in text


def test_archives_of_something_else(inspect, tmp_path):
    np.savez(tmp_path / "a.npz", weights=np.ones((3, 4)), number=1.5)
    text = inspect(tmp_path / "a.npz")
    assert "weights  (3, 4)  float64" in text and "layout: not recognised" in text


def test_an_archive_with_a_split_missing_or_mixed(inspect, tmp_path):
    arrays = kaggle_arrays()
    del arrays["y_test"]
    np.savez(tmp_path / "a.npz", **arrays)
    text = inspect(tmp_path / "a.npz")
    assert "has no 'y_test'" in text and "train: 7 clips" in text
    np.savez(tmp_path / "a.npz", **{**kaggle_arrays(), "x_test": converted_arrays()["x_test"]})
    assert "layout: mixed" in inspect(tmp_path / "a.npz")


def test_check_passes_good_data(inspect, tmp_path):
    for arrays, save in ((kaggle_arrays, np.savez), (converted_arrays, np.savez_compressed)):
        save(tmp_path / "a.npz", **arrays(num_test=5))
        text = inspect(tmp_path / "a.npz", "--check")
        assert "checked all data: no problems" in text and "5 classes of 1 to 2 clips" in text


def test_classes_without_clips_are_not_counted_as_if_they_had_some(inspect, tmp_path):
    arrays = kaggle_arrays()
    for split in ("train", "test"):
        labels = arrays[f"y_{split}"].argmax(axis=1) % 2
        arrays[f"y_{split}"] = np.eye(5)[labels]
    np.savez(tmp_path / "a.npz", **arrays)
    text = inspect(tmp_path / "a.npz", "--check")
    assert "note: train: no clip of class 2, 3, 4 (3 of the classes)" in text and "no problems" in text
    assert re.search(r"one-hot, 5 classes, of which 2 have \d+ to \d+ clips", text)


def test_check_names_bad_clips_and_labels(inspect, tmp_path):
    arrays = converted_arrays()  # the test split lacks class 4
    arrays["x_train"][3].flat[17] = np.nan
    arrays["x_test"][2] = 0
    arrays["y_train"][5] = -1
    np.savez(tmp_path / "a.npz", **arrays)
    text = inspect(tmp_path / "a.npz", "--check", status=1)
    problems = [line for line in text.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 3 and "train: 'y_train': the label of clip 5 is -1" in problems[0]
    assert problems[1:] == ["problem: x_train: clip 3: NaN or infinite values",
                            "problem: x_test: clip 2: no frames (all values are 0)"]
    arrays["y_train"][5] = 0
    np.savez(tmp_path / "a.npz", **arrays)
    report = json.loads(inspect(tmp_path / "a.npz", "--check", "--json", status=1))
    assert len(report["problems"]) == 2 and report["notes"] == ["test: no clip of class 4 (1 of the classes)"]
    assert report["splits"]["train"]["clips_per_class"] == [2, 2, 1, 1, 1]


def test_many_problems_are_cut_short(inspect, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((50, 9, 150), np.float32))
    text = inspect(tmp_path / "a.npy", "--check", status=1)
    assert text.count("problem: ") == 20 and "and 30 more" in text


def test_bad_input(refused, tmp_path):
    assert "no such file" in refused(tmp_path / "no.npz")
    assert "is a folder" in refused(tmp_path)
    np.savez(tmp_path / "a.npz", **kaggle_arrays())
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[:-5000])
    assert "damaged" in refused(tmp_path / "cut.npz", "--json")
    middle = bytearray(content)
    middle[20_000] ^= 4
    (tmp_path / "flipped.npz").write_bytes(middle)
    assert "checksum" in refused(tmp_path / "flipped.npz", "--check")
    (tmp_path / "text.npz").write_text("hello")
    assert "not a .npz" in refused(tmp_path / "text.npz")
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    assert "pickled" in refused(tmp_path / "pickled.npy")


def test_the_default_path_is_the_images(run_script):
    text = run_script(SCRIPT, "--help", env={"COLUMNS": "200"}).stdout
    assert "(default: /workspace/CTR-GCN/data/ntu/NTU60_CS.npz)" in text


def test_a_third_split_is_looked_at_as_well(inspect, tmp_path):
    arrays = kaggle_arrays()
    np.savez(tmp_path / "a.npz", **arrays, x_val=arrays["x_test"], y_val=arrays["y_test"] * 2)
    told = inspect(tmp_path / "a.npz", "--check", status=1)
    assert "val: 4 clips of 9 frames" in told
    assert "problem: val: the label of clip 0 in 'y_val' is not one-hot" in told
