"""MS-G3D's data generation, through its scripts: golden files, damage, bones, and carrying on after kill -9."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.labels import read_labels
from skeleton_lab.data.formats.ntu import NTU60
from skeleton_lab.data.prepare import msg3d_pipeline, pieces
from skeleton_lab.data.prepare.msg3d_commands import generate_kinetics, generate_ntu
from skeleton_lab.data.prepare.workers import Crew
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18
from tests.skeleton_texts import GOLDEN, one_body, unpack, write_many
from tests.trees import ROOT

DATA_GEN = ROOT / "MS-G3D" / "data_gen"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return unpack("skeletons", tmp_path / "raw")


def assert_golden(folder: Path) -> None:
    expected = np.load(GOLDEN / "expected.npz")
    for protocol in ("xsub", "xview"):
        for part in ("train", "val"):
            found = np.load(folder / protocol / f"{part}_data_joint.npy")
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected[f"msg3d_{protocol}/{part}_data_joint"], rtol=0, atol=1e-6)
            names, labels = read_labels(folder / protocol / f"{part}_label.pkl")
            assert names == expected[f"msg3d_{protocol}/{part}_names"].tolist()
            assert labels == expected[f"msg3d_{protocol}/{part}_labels"].tolist()


def digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*") if path.is_file()}


def test_golden_ntu60(tmp_path: Path, recordings: Path, run_script) -> None:
    result = run_script("ntu_gendata.py", "--data_path", recordings, "--out_folder", tmp_path / "ntu", "--n_cores", "2",
                        cwd=DATA_GEN)
    assert result.returncode == 0, result.stderr
    assert "kept             10" in result.stdout
    assert_golden(tmp_path / "ntu")
    assert sorted(path.name for path in (tmp_path / "ntu").iterdir()) == ["xsub", "xview"]  # no leftovers


def test_small_pieces_give_the_same_files(tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = functools.partial(pieces.cut_into_pieces, files_per_piece=3)
    monkeypatch.setattr(msg3d_pipeline, "cut_into_pieces", lambda paths, rules, _: cut(paths, rules))
    generate_ntu(NTU60, [recordings], None, tmp_path / "ntu", Crew(1))
    assert_golden(tmp_path / "ntu")


def test_ntu120_takes_two_folders(tmp_path: Path, recordings: Path, run_script) -> None:
    second = tmp_path / "raw" / "skeletons120"
    second.mkdir()
    moved = recordings / "S009C001P025R001A002.skeleton"
    moved.rename(second / "S032C001P106R001A120.skeleton")
    result = run_script("ntu120_gendata.py", "--part1-path", recordings, "--part2-path", second, "--out-folder",
                        tmp_path / "ntu120", "--jobs", "1", cwd=DATA_GEN)
    assert result.returncode == 0, result.stderr
    names, labels = read_labels(tmp_path / "ntu120" / "xset" / "train_label.pkl")
    assert names[-1] == str(second / "S032C001P106R001A120.skeleton") and labels[-1] == 119
    assert [Path(name).name[:4] for name in names] == ["S002", "S004", "S006", "S008", "S032"]
    names, _ = read_labels(tmp_path / "ntu120" / "xsub" / "val_label.pkl")
    assert [Path(name).name[8:12] for name in names] == ["P003", "P007", "P003", "P106"]
    expected = np.load(GOLDEN / "expected.npz")["msg3d_xview/val_data_joint"]
    np.testing.assert_allclose(np.load(tmp_path / "ntu120/xset/train_data_joint.npy")[-1], expected[-1], atol=1e-6)
    result = run_script("ntu120_gendata.py", "--part1-path", recordings, cwd=DATA_GEN)
    assert result.returncode == 2 and "NTU120 needs both folders" in result.stderr


def test_recordings_are_found_where_the_container_mounts_them(tmp_path: Path, recordings: Path, run_script) -> None:
    """A copy of the tree in a workspace, with the raw files and the missing list under <workspace>/data."""
    workspace = tmp_path / "workspace"
    shutil.copytree(DATA_GEN, workspace / "MS-G3D" / "data_gen", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "skeleton_lab", workspace / "skeleton_lab", ignore=shutil.ignore_patterns("__pycache__"))
    raw = workspace / "data" / "nturgbd_raw"
    raw.mkdir(parents=True)
    recordings.rename(raw / "nturgb+d_skeletons")
    (raw / "NTU_RGBD_samples_with_missing_skeletons.txt").write_text("S009C001P025R001A002\n")
    result = run_script("ntu_gendata.py", "--jobs", "1", cwd=workspace / "MS-G3D" / "data_gen")
    assert result.returncode == 0, result.stderr
    assert "left out          1" in result.stdout
    assert np.load(workspace / "MS-G3D/data/ntu/xview/val_data_joint.npy").shape == (3, 3, 300, 25, 2)


def test_damaged_recordings_are_skipped_and_strict_stops(tmp_path: Path, recordings: Path, run_script) -> None:
    (recordings / "S001C001P001R001A003.skeleton").write_text("\n".join(one_body()[:40]))
    (recordings / "S001C001P001R001A004.skeleton").write_text("1\n0\n")
    arguments = ("ntu_gendata.py", "--data_path", recordings, "--out_folder", tmp_path / "ntu", "--jobs", "1")
    result = run_script(*arguments, "--strict", cwd=DATA_GEN)
    assert result.returncode == 2 and "A003.skeleton:40: the file ends here" in result.stderr.splitlines()[-1]
    result = run_script(*arguments, cwd=DATA_GEN)
    assert result.returncode == 0 and "(1 damaged, 1 without a body)" in result.stdout
    assert_golden(tmp_path / "ntu")


def test_killed_and_run_again_gives_the_same_files(tmp_path: Path) -> None:
    """Kill -9 while reading and again while writing; what was done is kept, the result is the same to the bit."""
    source = write_many(tmp_path / "raw", 260)
    command = [sys.executable, DATA_GEN / "ntu_gendata.py", "--data_path", source, "--jobs", "2", "--out_folder"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, whole], check=True, capture_output=True)
    for stage in ("clips", "written"):
        process = subprocess.Popen([*command, killed], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not list((killed / ".gendata" / stage).glob("piece-*.npz")):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(1)  # the workers notice
        done = {path: path.stat().st_mtime_ns for path in (killed / ".gendata").rglob("piece-*.npz")}
        assert 1 <= len(list((killed / ".gendata" / stage).glob("piece-*.npz"))) < 5
    again = subprocess.run([*command, killed], check=True, capture_output=True, text=True)
    assert "(260 of them read by an earlier run)" in again.stdout
    assert len(done) >= 6  # five pieces read, one or more written
    assert digests(killed) == digests(whole)


def test_too_little_room_is_said_before_writing(tmp_path: Path, recordings: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match="B are needed, 1 kB are free"):
        generate_ntu(NTU60, [recordings], None, tmp_path / "ntu", Crew(1))


def test_golden_kinetics(tmp_path: Path, run_script) -> None:
    raw = unpack("kinetics_raw", tmp_path)
    result = run_script("kinetics_gendata.py", "--data_path", raw, "--out_folder", tmp_path / "out", "--jobs", "1",
                        "--parts", "val", cwd=DATA_GEN)
    assert result.returncode == 0, result.stderr
    expected = np.load(GOLDEN / "kinetics_expected.npz")
    found = np.load(tmp_path / "out" / "val_data_joint.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected["val_data_joint"], rtol=0, atol=1e-6)
    assert read_labels(tmp_path / "out" / "val_label.pkl") == (expected["val_names"].tolist(),
                                                               expected["val_labels"].tolist())
    assert "1  (without a skeleton, says the label file)" in result.stdout


@pytest.mark.parametrize(("label", "complaint"), [
    (-1, "label_index of vid01 is -1, which means that its class is not known"), (-3, "vid01 is -3; class indices"),
    (1.5, "label_index of vid01 is 1.5; class indices"), ("2", "label_index of vid01 is '2'"),
    (10**6, "outside 0..99999"),
])
def test_kinetics_refuses_what_is_no_class_before_it_writes(tmp_path: Path, label, complaint: str) -> None:
    raw, out = unpack("kinetics_raw", tmp_path), tmp_path / "out"
    (raw / "kinetics_val").rename(raw / "kinetics_train")  # the second part: the first one is not written either
    labels = json.loads((raw / "kinetics_val_label.json").read_text())
    (raw / "kinetics_val").mkdir()
    (raw / "kinetics_val" / "vid02.json").write_text((raw / "kinetics_train" / "vid02.json").read_text())
    labels["vid01"]["label_index"] = label
    (raw / "kinetics_train_label.json").write_text(json.dumps(labels))
    with Crew(1) as crew, pytest.raises(UserError) as error:
        list(generate_kinetics(raw, ("val", "train"), out, crew))
    assert complaint in str(error.value) and "kinetics_train_label.json: " in str(error.value)
    assert not out.exists()


def test_kinetics_without_the_training_part_says_what_would_do(tmp_path: Path) -> None:
    raw, out = unpack("kinetics_raw", tmp_path), tmp_path / "out"
    with Crew(1) as crew:
        with pytest.raises(UserError, match=r"kinetics_train_label.json: .*; --parts val makes what is there"):
            list(generate_kinetics(raw, ("val", "train"), out, crew))
        assert not out.exists()
        (raw / "kinetics_train_label.json").write_text((raw / "kinetics_val_label.json").read_text())
        with pytest.raises(UserError, match=r"kinetics_train: cannot list it .*; --parts val makes what is there"):
            list(generate_kinetics(raw, ("val", "train"), out, crew))


def test_kinetics_reports_what_it_skips(tmp_path: Path, run_script) -> None:
    raw = unpack("kinetics_raw", tmp_path)
    (raw / "kinetics_val").rename(raw / "kinetics_train")
    (raw / "kinetics_train" / "stranger.json").write_text("{}")
    (raw / "kinetics_train" / "vid01.json").write_text('{"data": [')
    labels = json.loads((raw / "kinetics_val_label.json").read_text())
    (raw / "kinetics_train_label.json").write_text(json.dumps(labels))
    result = run_script("kinetics_gendata.py", "--data_path", raw, "--out_folder", tmp_path / "out", "--jobs", "1",
                        "--parts", "train", cwd=DATA_GEN)
    assert result.returncode == 0, result.stderr
    assert "vid01.json:1: is not JSON" in result.stdout
    assert "stranger.json: not in kinetics_train_label" in result.stdout
    assert read_labels(tmp_path / "out" / "train_label.pkl")[0] == ["vid00.json", "vid02.json"]
    result = run_script("kinetics_gendata.py", "--data_path", tmp_path / "none", cwd=DATA_GEN)
    assert result.returncode == 2 and result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("dataset", "skeleton", "places"), [("ntu", NTU_25, ("xview", "xsub")),
                                                             ("kinetics", OPENPOSE_18, ("",))])
def test_bones(tmp_path: Path, run_script, dataset: str, skeleton, places: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    joints = {}
    for place in places:
        folder = tmp_path / dataset / place
        folder.mkdir(parents=True)
        for part in ("train", "val"):
            joints[folder, part] = rng.standard_normal((2, 3, 6, skeleton.num_joints, 2)).astype(np.float32)
            np.save(folder / f"{part}_data_joint.npy", joints[folder, part])
    result = run_script("gen_bone_data.py", "--dataset", dataset, "--data-folder", tmp_path, cwd=DATA_GEN)
    assert result.returncode == 0, result.stderr
    for (folder, part), values in joints.items():
        bones = np.load(folder / f"{part}_data_bone.npy")
        for joint, reference in skeleton.bones:
            np.testing.assert_array_equal(bones[:, :, :, joint], values[:, :, :, joint] - values[:, :, :, reference])


def test_bones_of_what_is_missing_fail_after_the_rest(tmp_path: Path, run_script) -> None:
    (tmp_path / "ntu" / "xsub").mkdir(parents=True)
    for part in ("train", "val"):
        np.save(tmp_path / "ntu" / "xsub" / f"{part}_data_joint.npy", np.zeros((1, 3, 2, 25, 2), np.float32))
    result = run_script("gen_bone_data.py", "--dataset", "ntu", "--data-folder", tmp_path, cwd=DATA_GEN)
    assert result.returncode == 2 and "xview/train_data_joint.npy" in result.stderr.splitlines()[-1]
    assert (tmp_path / "ntu/xsub/val_data_bone.npy").exists()
    result = run_script("gen_bone_data.py", "--dataset", "ntu", "--benchmark", "xsub", "--data-folder", tmp_path,
                        cwd=DATA_GEN)
    assert result.returncode == 0
    result = run_script("gen_bone_data.py", "--dataset", "ntu", "--benchmark", "xset", "--data-folder", tmp_path,
                        cwd=DATA_GEN)
    assert result.returncode == 2 and "ntu has xview and xsub" in result.stderr
