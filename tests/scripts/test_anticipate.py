"""anticipate.py on small untrained models of both trees: its last point is the plain test, and what it refuses."""

from __future__ import annotations

import csv
import importlib.util
import sys

import numpy as np
import pytest
import torch
import yaml

from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.errors import run_command
from tests.scripts.small_archive import write_pair
from tests.trees import ROOT, open_tree

NUM_TEST, NUM_CLASSES = 6, 4
SPECS = {"CTR-GCN": ("config/nturgbd-cross-subject/default.yaml", "model.ctrgcn.Model"),
         "MS-G3D": ("config/nturgbd-cross-subject/test_joint.yaml", "model.msg3d.Model")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Tree -> a work directory with a config and random weights, over the same archive's clips or others."""
    place = tmp_path_factory.mktemp("anticipate")
    archive = write_pair(place, num_train=4, num_test=NUM_TEST, num_classes=NUM_CLASSES)[1]
    clips = np.random.default_rng(0).standard_normal((NUM_TEST, 3, 10, 25, 2)).astype(np.float32)
    np.save(place / "val.npy", clips)
    write_labels(place / "val.pkl", [f"val{row}" for row in range(NUM_TEST)], [row % 4 for row in range(NUM_TEST)])
    data = {"CTR-GCN": {"data_path": str(archive), "window_size": 8},
            "MS-G3D": {"data_path": str(place / "val.npy"), "label_path": str(place / "val.pkl")}}
    folders = {}
    for name, (path, model) in SPECS.items():
        folders[name] = place / f"work_{name}" / "run"
        folders[name].mkdir(parents=True)
        config = yaml.safe_load((ROOT / name / path).read_text())
        config |= {"device": "cpu", "num_worker": 0, "test_batch_size": 4, "work_dir": str(folders[name])}
        config["test_feeder_args"] |= data[name]
        config["model_args"]["num_class"] = NUM_CLASSES
        config.pop("weights", None)
        (folders[name] / "config.yaml").write_text(yaml.safe_dump(config))
        torch.manual_seed(0)
        with open_tree(name) as tree:
            torch.save(tree.load(model)(**config["model_args"]).state_dict(), folders[name] / "best.pt")
    return folders


@pytest.fixture(scope="module")
def measured(runs, tmp_path_factory, run_script):
    """What anticipate.py printed and wrote for both runs."""
    output = tmp_path_factory.mktemp("output") / "curves"
    done = run_script("anticipate.py", "--run", *runs.values(), "--shares", "1", "0.3", "--output", output)
    assert done.returncode == 0, done.stderr
    return done.stdout, output


@pytest.mark.parametrize("tree", SPECS)
def test_the_last_point_is_the_plain_test_to_the_bit(runs, measured, run_script, tmp_path, tree):
    run = runs[tree]
    files = sorted(path.name for path in run.iterdir())
    assert files == ["best.pt", "config.yaml"]  # measuring leaves the work directory as it was
    done = run_script("main.py", "--config", run / "config.yaml", "--phase", "test", "--weights", run / "best.pt",
                      "--save-score", "true", "--work-dir", tmp_path / "plain", cwd=ROOT / tree)
    assert done.returncode == 0, done.stderr
    plain = (tmp_path / "plain" / "epoch1_test_score.pkl").read_bytes()
    points = {share: (measured[1] / f"work_{tree}_run" / f"observed_{share}" / "epoch1_test_score.pkl").read_bytes()
              for share in (30, 100)}
    assert points[100] == plain != points[30]


def test_the_table_holds_what_the_tests_found(runs, measured):
    printed, output = measured
    rows = list(csv.DictReader((output / "curves.csv").open(newline="")))
    assert [(row["run"], row["observed_percent"]) for row in rows] == [
        (f"work_{tree}_run", share) for tree in SPECS for share in ("30", "100")]
    for row in rows:
        log = (output / row["run"] / f"observed_{row['observed_percent']}" / "log.txt").read_text()
        assert f"{float(row['top1_percent']):.2f}%" in log and row["clips"] == str(NUM_TEST)
        assert float(row["top1_percent"]) == pytest.approx(100 * int(row["right_clips"]) / NUM_TEST, abs=1e-4)
        assert f"{float(row['top1_percent']):.2f}" in printed
    assert (output / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def anticipate():
    description = importlib.util.spec_from_file_location("anticipate", ROOT / "anticipate.py")
    module = importlib.util.module_from_spec(description)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "anticipate", module)
        description.loader.exec_module(module)
    return module


def test_the_area_is_the_mean_height(anticipate):
    def area(shares, right):
        return anticipate.Curve("run", shares, right, clips=10, classes=4).area

    assert area((0.1, 0.4, 1.0), (2, 4, 8)) == pytest.approx((0.3 * 30 + 0.6 * 60) / 0.9)
    assert area((0.1, 0.2, 1.0), (7, 7, 7)) == pytest.approx(70)
    assert area((0.5,), (3,)) == pytest.approx(30)


def test_names_tell_runs_apart(anticipate, tmp_path):
    runs = [tmp_path / "a" / "joint", tmp_path / "b" / "joint", tmp_path / "b" / "bone"]
    assert anticipate.short_names(runs[1:]) == ["joint", "bone"]
    assert anticipate.short_names(runs) == ["a_joint", "b_joint", "b_bone"]


@pytest.mark.parametrize(("flags", "complaint"), [
    (("--run", "{run}", "{run}/../run"), "names the same work directory twice"),
    (("--run", "{run}/.."), "holds no config.yaml; give the work directory"),
    (("--run", "{run}", "--shares", "0"), "expected a number in (0, 1], not 0"),
])
def test_bad_input_is_one_line(anticipate, runs, monkeypatch, capsys, tmp_path, flags, complaint):
    words = [flag.replace("{run}", str(runs["CTR-GCN"])) for flag in flags]
    monkeypatch.setattr(sys, "argv", ["anticipate.py", *words, "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: anticipate.main(*anticipate.read_options()))
    assert ended.value.code == 2 and complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_complaint_of_a_test_is_handed_on_and_flags_reach_it(runs, run_script, tmp_path):
    done = run_script("anticipate.py", "--run", runs["CTR-GCN"], "--shares", "0.5", "--output", tmp_path / "out", "--",
                      "--test-feeder-args", "data_path=absent.npz", fresh=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "run: the test on 50 % of each clip failed (status 2): absent.npz: no such file" in done.stderr
    assert not (tmp_path / "out" / "curves.csv").exists()
