"""convert_poses.py: a folder for each class to an archive and a config, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.data.prepare.class_folders import split_by_share
from skeleton_lab.data.prepare.own_config import recipe_of, trees
from skeleton_lab.imports import construct
from tests import pose_files
from tests.pose_files import people
from tests.trees import ROOT

SCRIPT = "dataset_tools/convert_poses.py"


def gestures(folder: Path, kind: str = "world") -> Path:
    """Two classes, of three and two clips."""
    for name, count in (("wave", 3), ("bow", 2)):
        for number in range(count):
            target = folder / name / f"clip{number}"
            if kind == "openpose":
                pose_files.openpose(target, people(25, seed=number))
            elif kind == "hands":
                target.parent.mkdir(parents=True, exist_ok=True)
                np.save(target.with_suffix(".npy"), people(21, scale=0.3, one=True, seed=number).truth[:, 0, :, :2])
            else:
                made = people(33, 3, scale=1.0, one=name == "bow", seed=number)
                pose_files.mediapipe(target.with_suffix(".json"), made, "pose_world_landmarks")
    return folder


@pytest.fixture
def convert(run_script) -> Callable[..., str]:
    """Return a function that converts and returns what was told."""
    def run(*words: object) -> str:
        done = run_script(SCRIPT, *map(str, words))
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_an_archive_and_its_config_train_and_predict(tmp_path: Path, convert, run_script) -> None:
    source, output = gestures(tmp_path / "in"), tmp_path / "own.npz"
    told = convert("--input", source, "--output", output, "--config-for", "CTR-GCN", "--fps", "24")
    assert "class 1 wave: 2 clips to train with, 1 to test with" in told and "main.py --config" in told
    with np.load(output) as arrays:
        assert arrays["class_names"].tolist() == ["bow", "wave"] and arrays["fps"] == 24
        assert arrays["x_train"].shape == (3, 3, 12, 25, 2) and arrays["y_train"].tolist() == [0, 1, 1]
        assert arrays["names_test"].tolist()[0].startswith("bow/clip")
        bow = arrays["x_train"][0]
        assert not bow[:, 0, 1, 0].any() and not bow[..., 1].any() and not bow[:, 8].any() and not bow[:, 2].any()
        name = arrays["names_train"][0]
    truth = people(33, 3, scale=1.0, one=True, seed=int(name[-1])).truth[:, 0]
    np.testing.assert_allclose(bow[:, 1, 5, 0] - bow[:, 1, 4, 0], (truth[1, 13, :3] - truth[1, 11, :3]) * (-1, -1, 1),
                               atol=1e-5)
    work_dir = tmp_path / "run"
    done = run_script("main.py", "--config", str(tmp_path / "own_ctr-gcn.yaml"), "--work-dir", str(work_dir),
                      "--num-epoch", "1", "--num-worker", "0", "--train-feeder-args", "window_size=8",
                      "--test-feeder-args", "window_size=8", cwd=ROOT / "CTR-GCN")
    assert done.returncode == 0, done.stderr
    files = [source / f"{name}.json", pose_files.openpose(tmp_path / "open", people(25))]
    done = run_script("predict.py", "--run", str(work_dir), *map(str, files), str(output), "--split", "train", "--json")
    assert done.returncode == 0, done.stderr
    predicted = json.loads(done.stdout)
    assert [len(entry["logits"]) for entry in predicted] == [2] * 5 and "flat joints: depth is 0" in done.stderr
    assert {entry["top"][0]["name"] for entry in predicted} <= {"bow", "wave"}
    [same] = [entry for entry in predicted[2:] if entry["recording"].endswith(name)]
    np.testing.assert_allclose(same["logits"], predicted[0]["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "joints", "tree"), [("openpose", 17, "ST-GCN"), ("hands", 21, "MS-G3D"),
                                                      ("hands", 21, "CTR-GCN")])
def test_joints_in_pictures_become_clips_of_poses(tmp_path: Path, convert, kind: str, joints: int, tree: str) -> None:
    source, output = gestures(tmp_path / "in", kind), tmp_path / "own.npz"
    (tmp_path / "test.txt").write_text("wave/clip1\n\nbow/clip0" + (".npy\n" if kind == "hands" else "\n"))
    convert("--input", source, "--output", output, "--test-list", tmp_path / "test.txt", "--config-for", tree,
            "--image-size", "640x480")
    found = open_recordings(output, Wanted("test"))
    assert len(found) == 2 and found[0].frames.shape[2:] == (joints, 2) and found[0].class_name == "bow"
    truth = people(25, seed=0).truth
    if kind == "openpose":
        assert found[0].image_size == (640, 480)
        np.testing.assert_allclose(np.sort(found[0].frames[0, :, 0, 0]), np.sort(truth[0, :, 0, 0]), rtol=1e-5)
    config = yaml.safe_load((tmp_path / f"own_{tree.lower()}.yaml").read_text())
    args = config["train_feeder_args"]
    feeder = construct("skeleton_lab.data.feeders.feeder_pyskl.Feeder", args, "train_feeder_args")
    assert feeder.class_names == ("bow", "wave")  # a run records them, and predictions and reports say them
    assert len(feeder.label) == 3 and config["model_args"]["num_point"] == joints
    assert feeder[0][0].shape[-2:] == (joints, config["model_args"]["num_person"])


def test_ms_g3ds_files_are_made_for_its_config(tmp_path: Path, convert) -> None:
    convert("--input", gestures(tmp_path / "in"), "--output", tmp_path / "own.npz", "--config-for", "MS-G3D")
    config = yaml.safe_load((tmp_path / "own_ms-g3d.yaml").read_text())
    data = np.load(config["train_feeder_args"]["data_path"], mmap_mode="r")
    assert data.shape == (3, 3, 12, 25, 2) and Path(config["test_feeder_args"]["label_path"]).is_file()
    assert json.loads((tmp_path / "own_msg3d" / "val_about.json").read_text())["class_names"] == ["bow", "wave"]


def test_every_tree_has_a_recipe_for_joints_in_space() -> None:
    for tree in trees(ROOT):
        path, content = recipe_of(ROOT, tree, in_space=True)
        assert 60 in content["model_args"].values() and "demo" not in str(path)


@pytest.mark.parametrize(("words", "what"), [
    (["--input", "{in}/wave"], "holds no folders; it should hold one for each class"),
    (["--input", "{empty}"], "empty/none: holds no pose file; known are"),
    (["--input", "{videos}"], "find the people in its videos first: extract_poses.py --video"),
    (["--input", "{damaged}"], "clip0.json:1: is not JSON"),
    (["--config-for", "CTRGCN"], "is no tree here; choose"), (["--joints", "coco71"], "did you mean 'coco17'?"),
    (["--test-list", "{list}"], "list:1: 'wave/clip9' is no clip; write"),
    (["--test-share", "1"], "expected a share from 0 to below 1"), (["--image-size", "12"], "expected WIDTHxHEIGHT"),
    (["--to", "coco17", "--msg3d", "{in}/x"], "--msg3d: its files hold joints in space")])
def test_what_cannot_be_converted_is_one_line(tmp_path: Path, run_script, words: list[str], what: str) -> None:
    places = {name: tmp_path / name for name in ("in", "empty", "videos", "damaged", "list")}
    gestures(places["in"])
    if "{damaged}" in words:
        damaged = gestures(places["damaged"]) / "wave" / "clip0.json"
        damaged.write_text(damaged.read_text()[:99])
    for name in ("empty", "videos"):
        (places[name] / "none").mkdir(parents=True)
    (places["videos"] / "none" / "a.mp4").touch()
    places["list"].write_text("wave/clip9\n")
    given = [word.format(**places) for word in words]
    given += [] if "--input" in given else ["--input", str(places["in"])]
    done = run_script(SCRIPT, *given, "--output", str(tmp_path / "own.npz"))
    assert done.returncode == 2 and what in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("own*"))


def test_damaged_files_are_left_out_when_asked(tmp_path: Path, convert, run_script) -> None:
    source = gestures(tmp_path / "in")
    (source / "wave" / "clip0.json").write_text("[]")
    (source / "wave" / "readme.md").write_text("mine")
    told = convert("--input", source, "--output", tmp_path / "own.npz", "--skip-damaged", "--test-share", "0")
    assert "skipped: " in told and "class 1 wave: 2 clips to train with, 0 to test with" in told
    with np.load(tmp_path / "own.npz") as arrays:
        assert "x_test" not in arrays and len(arrays["x_train"]) == 4
    done = run_script(SCRIPT, "--input", str(source), "--output", str(tmp_path / "own.npz"))
    assert done.returncode == 2 and "own.npz: exists; give another --output, or --overwrite" in done.stderr


def test_every_class_tests_and_trains() -> None:
    labels = [0] * 10 + [1] * 2 + [2]
    tests = split_by_share(labels, 0.2, seed=1)
    assert [int(tests[np.array(labels) == label].sum()) for label in range(3)] == [2, 1, 0]
    assert np.array_equal(tests, split_by_share(labels, 0.2, seed=1))
    assert not np.array_equal(tests, split_by_share(labels, 0.2, seed=2))
    assert not split_by_share(labels, 0, seed=1).any()
