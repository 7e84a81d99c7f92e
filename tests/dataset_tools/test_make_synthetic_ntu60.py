"""The procedural archive: layout, protocol, reproducibility, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.formats.layouts import open_split
from skeleton_lab.data.formats.ntu import NTU60

SCRIPT = "dataset_tools/make_synthetic_ntu60.py"
SMALL = ("--classes", "7", "--train", "40", "--test", "15", "--frames", "160")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return tmp_path_factory.mktemp("synthetic") / "sub" / "NTU60_CS.npz"


@pytest.fixture
def made(archive, run_script):
    if not archive.exists():
        done = run_script(SCRIPT, "--output", archive, *SMALL)
        assert done.returncode == 0, done.stderr
        assert "40 clips of 7 actions" in done.stdout
    return archive


def test_layout_is_the_kaggle_one(made):
    with np.load(made) as arrays:
        assert list(arrays)[:4] == ["x_train", "y_train", "x_test", "y_test"]
        assert arrays["class_names"][3] == "crouch and spread arms, together" and len(arrays["class_names"]) == 7
        assert str(arrays["skeleton"]) == "skeleton_lab.skeletons.NTU_25" and arrays["fps"] == 30
        assert len(arrays["names_train"]) == 40 and str(arrays["names_test"][0]).startswith("S0")
        assert (arrays["x_train"].shape, arrays["x_train"].dtype) == ((40, 160, 150), np.float32)
        assert (arrays["y_test"].shape, arrays["y_test"].dtype) == ((15, 60), np.float64)
    split = open_split(made, "train")
    assert split.layout == "kaggle"
    assert np.bincount(split.labels).tolist() == [6, 6, 6, 6, 6, 5, 5]
    for index in range(split.num_clips):
        frames = split.frames(index)
        used = np.flatnonzero(frames.any(axis=(1, 2, 3)))
        assert used[0] == 0
        assert used[-1] == len(used) - 1
        assert not frames[0, 0, 1].any()  # the origin
        assert frames[:, 1].any() == (split.labels[index] == 4)  # the fifth action is done by two


def test_same_options_same_bytes_other_seed_other_clips(made, tmp_path, run_script):
    again, other = tmp_path / "again.npz", tmp_path / "other.npz"
    assert run_script(SCRIPT, "--output", again, *SMALL).returncode == 0
    assert run_script(SCRIPT, "--output", other, *SMALL, "--seed", "1").returncode == 0
    assert again.read_bytes() == made.read_bytes()
    assert not np.array_equal(open_split(other, "test").array, open_split(made, "test").array)


def test_subjects_follow_the_protocol(monkeypatch, tmp_path):
    """Performers of the two parts are those of NTU's cross-subject protocol, and no clip is made twice."""
    import importlib.util
    import sys

    from tests.trees import ROOT
    spec = importlib.util.spec_from_file_location("make_synthetic_ntu60", ROOT / SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", ["make", "--output", str(tmp_path / "x.npz"), "--subjects", "11"])
    options = script.read_options()
    protocol = NTU60.protocols[0]
    train, test = (script.plan(3000, part, options) for part in (protocol.train, protocol.test))
    assert {sample.performer for sample in train} == {1, 2, 4, 5, 8, 9}
    assert {sample.performer for sample in test} == {3, 6, 7, 10, 11}
    assert len(set(train)) == len(train) == 3000
    assert [sample.performer for sample in train] == sorted(sample.performer for sample in train)


@pytest.mark.parametrize(("options", "named"), [
    (("--classes", "61"), "--classes 61"), (("--subjects", "3"), "--subjects 3"), (("--frames", "100"), "--frames 100"),
    (("--train", "3"), "--train 3"), (("--noise", "nan"), "--noise nan"), (("--seed", "-1"), "--seed -1")])
def test_impossible_options_are_refused(run_script, tmp_path, options, named):
    done = run_script(SCRIPT, "--output", tmp_path / "x.npz", *options)
    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_existing_output_is_kept_unless_told(made, run_script):
    before = made.read_bytes()
    done = run_script(SCRIPT, "--output", made, *SMALL, "--seed", "2")
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert made.read_bytes() == before
