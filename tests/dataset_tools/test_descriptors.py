"""make_synthetic_descriptors.py and check_descriptors.py through their command lines."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from tests.scripts.small_archive import write_pair

MAKE, CHECK = "dataset_tools/make_synthetic_descriptors.py", "dataset_tools/check_descriptors.py"
NUM_TRAIN, NUM_TEST = 200, 40


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    labels = {"y_train": np.arange(NUM_TRAIN) % 6, "y_test": np.eye(6)[np.arange(NUM_TEST) % 6]}
    np.savez(folder / "data.npz", **labels)  # nothing else of an archive is looked at
    return folder / "data.npz"


def content(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def test_informative_ones_tell_the_pair_and_no_more(archive, run_script, tmp_path):
    output = tmp_path / "d.h5"
    done = run_script(MAKE, "--data", archive, "--output", output, "--width", "16", "--noise", "0.1")
    assert done.returncode == 0, done.stderr
    assert "of 3 groups of 2 classes for 100.0 % of the samples" in done.stdout
    vectors = content(output)
    assert len(vectors) == NUM_TRAIN + NUM_TEST and all(v.shape == (16,) for v in vectors.values())
    labels = {f"train_{row}": row % 6 for row in range(NUM_TRAIN)}
    codes = {label: np.mean([vectors[name] for name in labels if labels[name] == label], axis=0) for label in range(6)}
    for label in range(0, 6, 2):
        assert np.abs(codes[label] - codes[label + 1]).max() < 0.1  # 34 samples each, of noise 0.1
        assert np.abs(codes[label] - codes[(label + 2) % 6]).max() > 0.5


def test_noise_tells_nothing(archive, run_script, tmp_path):
    done = run_script(MAKE, "--data", archive, "--output", tmp_path / "d.h5", "--kind", "noise", "--moments", "4",
                      "--dtype", "float16", "--noise", "1", "--width", "8")
    assert done.returncode == 0 and "nearest" not in done.stdout, done.stderr
    vectors = content(tmp_path / "d.h5")
    assert {(v.shape, v.dtype.name) for v in vectors.values()} == {((4, 8), "float16")}
    means = np.array([vectors[f"train_{row}"].mean(axis=0) for row in range(NUM_TRAIN)], np.float64)
    assert means.std() == pytest.approx(1, abs=0.1)  # as noisy as one vector
    by_class = np.array([means[label::6].mean(axis=0) for label in range(6)])
    assert np.abs(by_class).max() < 4 / np.sqrt(NUM_TRAIN / 6)


def test_the_seed_and_the_name_decide(archive, run_script, tmp_path):
    small = tmp_path / "small.npz"
    np.savez(small, y_train=np.arange(12) % 6)
    for name, data, seed in (("a", archive, "1"), ("b", archive, "2"), ("c", small, "1")):
        assert run_script(MAKE, "--data", data, "--output", tmp_path / f"{name}.h5", "--seed", seed).returncode == 0
    a, b, c = (content(tmp_path / f"{name}.h5") for name in "abc")
    assert not np.allclose(a["train_0"], b["train_0"])
    assert len(c) == 12 and all(np.array_equal(a[name], c[name]) for name in c)


@pytest.mark.parametrize(("words", "part"), [
    (("--width", "0"), "--width 0"), (("--moments", "-1"), "--moments -1"), (("--noise", "nan"), "--noise nan"),
])
def test_making_refuses_in_one_line(archive, run_script, tmp_path, words, part):
    done = run_script(MAKE, "--data", archive, "--output", tmp_path / "d.h5", *words)
    assert done.returncode == 2 and part in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture
def good(archive, tmp_path):
    path = tmp_path / "good.h5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for split, count in (("train", NUM_TRAIN), ("test", NUM_TEST)):
            for row in range(count):
                file[f"{split}_{row}"] = rng.standard_normal(32).astype(np.float32)
    return path


def test_an_existing_file_is_kept(good, archive, run_script):
    before = good.read_bytes()
    done = run_script(MAKE, "--data", archive, "--output", good, "--seed", "5")
    assert done.returncode == 2 and "exists" in done.stderr and good.read_bytes() == before


def test_a_good_file_passes(good, archive, run_script):
    done = run_script(CHECK, "--descriptors", good, "--data", archive)
    assert done.returncode == 0 and done.stdout.splitlines() == [
        f"{good}: 240 of 240 samples have a descriptor of 32 numbers", "shapes: (32,) x 240", "dtypes: float32 x 240"]
    done = run_script(CHECK, "--descriptors", good, "--data", archive, "--split", "test", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and (report["usable"], len(report["surplus"]), report["missing"]) == (40, 200, [])


@pytest.mark.parametrize(("damage", "part"), [
    ("missing", "has no descriptor of 1 of the 240 samples"), ("nan", "'test_3' holds NaN"),
    ("width", "'test_3' has 7 numbers, others 32"), ("dtype", "is float64"), ("not there", "no such file"),
])
def test_an_unusable_file_is_one_line_and_status_2(good, archive, run_script, damage, part):
    if damage == "not there":
        good.unlink()
    else:
        with h5py.File(good, "a") as file:
            del file["test_3"]
            if damage != "missing":
                file["test_3"] = {"nan": np.full(32, np.nan, np.float32), "width": np.ones(7, np.float32),
                                  "dtype": np.ones(32)}[damage]
    done = run_script(CHECK, "--descriptors", good, "--data", archive, "--json")
    [line] = done.stderr.strip().splitlines()
    assert done.returncode == 2 and line.startswith("error: ") and part in line
    if damage != "not there":
        report = json.loads(done.stdout)
        assert report["usable"] == 239
        assert [*report["missing"], *report["unusable"]] == ["test_3"]


def test_a_split_that_is_not_there_is_refused(good, run_script, tmp_path):
    archive = write_pair(tmp_path, 4, 2)[0]
    np.savez(tmp_path / "train.npz", y_train=np.load(archive)["y_train"])
    done = run_script(CHECK, "--descriptors", good, "--data", tmp_path / "train.npz", "--split", "test")
    assert done.returncode == 2 and "has no split 'test', only train" in done.stderr
