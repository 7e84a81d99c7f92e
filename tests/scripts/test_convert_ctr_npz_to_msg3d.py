"""convert_ctr_npz_to_msg3d.py through its command line: both layouts, and what may be wrong with its input."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest

from skeleton_lab.data.prepare.prenormalize import pre_normalize
from tests.plain_prenormalize import plain_pre_normalize
from tests.trees import ROOT

SCRIPT = ROOT / "convert_ctr_npz_to_msg3d.py"
JOINT_FILES = ("train_data_joint.npy", "train_label.pkl", "val_data_joint.npy", "val_label.pkl")
BONE_FILES = ("train_data_bone.npy", "val_data_bone.npy")
NUM_FRAMES = 20


def make_clips(num_clips, seed):
    """(N, T, M, V, C) clips: one or two bodies, some frames each; the last clip is empty."""
    rng = np.random.default_rng(seed)
    clips = np.zeros((num_clips, NUM_FRAMES, 2, 25, 3), np.float32)
    for i, clip in enumerate(clips[:-1]):
        length = rng.integers(5, NUM_FRAMES)
        clip[:length, :1 + i % 2] = rng.normal(size=(length, 1 + i % 2, 25, 3))
    return clips


@pytest.fixture
def kaggle(tmp_path):
    """A Kaggle archive of 5 + 3 clips, and its arrays."""
    arrays = {}
    for seed, (split, num_clips) in enumerate({"train": 5, "test": 3}.items()):
        arrays[f"x_{split}"] = make_clips(num_clips, seed).reshape(num_clips, NUM_FRAMES, 150)
        arrays[f"y_{split}"] = np.eye(60)[np.arange(num_clips) * 7]
    np.savez(tmp_path / "NTU60_CS.npz", **arrays)
    return tmp_path / "NTU60_CS.npz", arrays


def expected_joints(arrays, split):
    """(N, C, T, V, M) straight from the definition: 150 = bodies x joints x coordinates."""
    clips = arrays[f"x_{split}"]
    joints = np.zeros((len(clips), 3, NUM_FRAMES, 25, 2), np.float32)
    for m in range(2):
        for v in range(25):
            for c in range(3):
                joints[:, c, :, v, m] = clips[:, :, m * 75 + v * 3 + c]
    return joints


def convert(run_script, *arguments):
    result = run_script(SCRIPT, *arguments)
    assert result.returncode == 0, result.stderr
    return result


def test_kaggle_archive_becomes_the_four_files(run_script, kaggle, tmp_path):
    path, arrays = kaggle
    out = tmp_path / "xsub"
    convert(run_script, "--input", path, "--output", out)
    assert sorted(file.name for file in out.iterdir()) == sorted(JOINT_FILES)
    for split, part in (("train", "train"), ("test", "val")):
        joints = expected_joints(arrays, split)
        written = np.load(out / f"{part}_data_joint.npy")
        assert written.dtype == np.float32
        np.testing.assert_array_equal(written, pre_normalize(joints))
        np.testing.assert_allclose(written, plain_pre_normalize(joints), rtol=0, atol=3e-6)
        with open(out / f"{part}_label.pkl", "rb") as file:
            names, labels = pickle.load(file)
        assert names == [f"{split}_{row}" for row in range(len(joints))]
        assert labels == [7 * row for row in range(len(joints))]


def test_the_converted_layout_gives_the_same_bytes(run_script, kaggle, tmp_path):
    path, arrays = kaggle
    five_d = {f"x_{split}": expected_joints(arrays, split) for split in ("train", "test")}
    np.savez_compressed(tmp_path / "5d.npz", **five_d, y_train=np.arange(5) * 7, y_test=np.arange(3) * 7)
    convert(run_script, "--input", path, "--output", tmp_path / "a", "--bone")
    convert(run_script, "--input", tmp_path / "5d.npz", "--output", tmp_path / "b", "--bone")
    for name in JOINT_FILES + BONE_FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_pre_normalisation_the_numbers_are_copied(run_script, kaggle, tmp_path):
    path, arrays = kaggle
    convert(run_script, "--input", path, "--output", tmp_path / "xsub", "--no-pre-normalize", "--bone")
    for split, part in (("train", "train"), ("test", "val")):
        joints = expected_joints(arrays, split)
        np.testing.assert_array_equal(np.load(tmp_path / "xsub" / f"{part}_data_joint.npy"), joints)
        bones = np.load(tmp_path / "xsub" / f"{part}_data_bone.npy")
        np.testing.assert_array_equal(bones[:, :, :, 3], joints[:, :, :, 3] - joints[:, :, :, 2])  # head from neck


def test_without_arguments_it_works_on_its_own_checkout(run_script, kaggle, tmp_path):
    path, _ = kaggle
    checkout = tmp_path / "checkout"
    for script in (checkout / SCRIPT.name, checkout / "scripts" / SCRIPT.name):  # an image has it in both places
        shutil.rmtree(checkout, ignore_errors=True)
        script.parent.mkdir(parents=True)
        shutil.copy(SCRIPT, script)
        (checkout / "skeleton_lab").symlink_to(ROOT / "skeleton_lab")
        (checkout / "MS-G3D" / "data" / "ntu").mkdir(parents=True)
        shutil.copy(path, checkout / "MS-G3D" / "data" / "ntu" / "NTU60_CS.npz")
        result = run_script(script, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        xsub = checkout / "MS-G3D" / "data" / "ntu" / "xsub"
        assert sorted(file.name for file in xsub.iterdir()) == sorted(JOINT_FILES)


def test_a_second_run_keeps_what_is_right_and_adds_what_is_missing(run_script, kaggle, tmp_path):
    path, _ = kaggle
    arguments = "--input", path, "--output", tmp_path / "xsub"
    convert(run_script, *arguments)
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in (tmp_path / "xsub").iterdir()}
    (tmp_path / "xsub" / "val_label.pkl").unlink()
    result = convert(run_script, *arguments, "--bone")
    for file, (time, content) in before.items():
        assert file.read_bytes() == content and (file.stat().st_mtime_ns == time) == (file.name != "val_label.pkl")
    assert result.stdout.count("kept ") == 3 and result.stdout.count("wrote ") == 3
    assert all((tmp_path / "xsub" / name).exists() for name in BONE_FILES)
    assert convert(run_script, *arguments, "--bone").stdout.count("kept ") == 6


@pytest.mark.parametrize("spoil", ["other options", "other labels", "other length", "damaged"])
def test_other_files_are_not_replaced_unasked(run_script, kaggle, tmp_path, spoil):
    path, _ = kaggle
    out, arguments = tmp_path / "xsub", ["--input", path, "--output", tmp_path / "xsub"]
    convert(run_script, *arguments)
    name = "val_data_joint.npy"
    if spoil == "other options":
        arguments.append("--no-pre-normalize")
        name = "train_data_joint.npy"
    elif spoil == "other labels":
        name = "val_label.pkl"
        (out / name).write_bytes(pickle.dumps((["a", "b", "c"], [0, 7, 14])))
    elif spoil == "other length":
        np.save(out / name, np.load(out / name)[:2])
    else:
        (out / name).write_bytes((out / name).read_bytes()[:-8])
    before = {file: file.read_bytes() for file in out.iterdir()}
    result = run_script(SCRIPT, *arguments)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert f"{out / name}: exists, and is not what" in result.stderr and "--overwrite" in result.stderr
    assert {file: file.read_bytes() for file in out.iterdir()} == before
    result = convert(run_script, *arguments, "--overwrite")
    assert result.stdout.count("wrote ") == 4
    assert convert(run_script, *arguments).stdout.count("kept ") == 4


def broken(path, arrays, how):
    """Write a spoiled copy of the archive to `path`."""
    arrays = dict(arrays)
    if how == "NaN":
        arrays["x_test"] = arrays["x_test"].copy()
        arrays["x_test"][1, 3, 7] = np.nan
    elif how == "missing key":
        del arrays["y_test"]
    elif how == "wrong shape":
        arrays["x_train"] = arrays["x_train"][..., :75]
    elif how == "bad label":
        arrays["y_train"] = np.zeros_like(arrays["y_train"])
    elif how == "empty split":
        arrays["x_test"], arrays["y_test"] = arrays["x_test"][:0], arrays["y_test"][:0]
    np.savez(path, **arrays)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif how == "no archive":
        path.write_text("hello")
    elif how == "missing":
        path.unlink()


@pytest.mark.parametrize(("how", "complaint"), [
    ("NaN", "clip 1 of the test split holds NaN"), ("missing key", "y_test"), ("wrong shape", "(5, 20, 75)"),
    ("bad label", "label of clip 0"), ("empty split", "the test split holds no clips"), ("truncated", ""),
    ("no archive", ""), ("missing", "")])
def test_bad_input_is_one_line_and_leaves_nothing_half_written(run_script, kaggle, tmp_path, how, complaint):
    _, arrays = kaggle
    bad = tmp_path / "bad.npz"
    broken(bad, arrays, how)
    result = run_script(SCRIPT, "--input", bad, "--output", tmp_path / "xsub")
    assert result.returncode == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ") and str(bad) in line and complaint in line and "Traceback" not in result.stderr
    left = {file.name for file in (tmp_path / "xsub").iterdir()} if (tmp_path / "xsub").exists() else set()
    assert left == ({"train_data_joint.npy", "train_label.pkl"} if how == "NaN" else set())


def test_a_folder_that_cannot_be_made_is_named(run_script, kaggle, tmp_path):
    path, _ = kaggle
    (tmp_path / "file").write_text("")
    result = run_script(SCRIPT, "--input", path, "--output", tmp_path / "file" / "xsub")
    assert result.returncode == 2 and "cannot write it" in result.stderr and "Traceback" not in result.stderr


def test_help_shows_an_example_and_the_defaults(run_script):
    result = run_script(SCRIPT, "--help")
    assert result.returncode == 0
    assert "--input NTU60_CS.npz" in result.stdout and "MS-G3D/data/ntu/xsub" in " ".join(result.stdout.split())


def test_frames_resizes_the_valid_part_of_each_clip(run_script, kaggle, tmp_path):
    """Each series is interpolated with half-pixel centres over the clip's own length, padding left out."""
    path, arrays = kaggle
    out = tmp_path / "short"
    convert(run_script, "--input", path, "--output", out, "--frames", "8", "--no-pre-normalize")
    joints, written = expected_joints(arrays, "train"), np.load(out / "train_data_joint.npy")
    assert written.shape == (5, 3, 8, 25, 2)
    for clip, resized in zip(joints, written, strict=True):
        length = int((clip != 0).any(axis=(0, 2, 3)).sum())
        if not length:
            assert not resized.any()
            continue
        positions = np.clip((np.arange(8) + 0.5) * length / 8 - 0.5, 0, length - 1)
        for joint in (0, 24):
            expected = np.interp(positions, np.arange(length), clip[1, :length, joint, 0])
            np.testing.assert_allclose(resized[1, :, joint, 0], expected, atol=1e-5)


def test_frames_wants_a_positive_number(run_script, kaggle, tmp_path):
    result = run_script(SCRIPT, "--input", kaggle[0], "--output", tmp_path / "none", "--frames", "0")
    assert result.returncode == 2 and "--frames" in result.stderr and not (tmp_path / "none").exists()
