"""report.py and compare_runs.py through their command lines, on a small CTR-GCN training with real clips."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from skeleton_lab.data.formats.archive import NpzWriter
from tests.skeleton_lab.report.work_dirs import TRUE, make_run
from tests.trees import ROOT

TREE = ROOT / "CTR-GCN"


@pytest.fixture(scope="module")
def tested(tmp_path_factory, run_script) -> Path:
    """A folder with the work directory `work` of a test of untrained weights on eight clips of two classes."""
    folder = tmp_path_factory.mktemp("small")
    clips = np.random.default_rng(0).standard_normal((8, 3, 12, 25, 2)).astype(np.float32)
    with NpzWriter(folder / "data.npz") as writer:
        for split in ("train", "test"):
            writer.write(f"x_{split}", clips)
            writer.write(f"y_{split}", np.arange(8) % 2)
    script = ("import sys, torch; sys.path[:0] = ['.', '..']; from model.ctrgcn import Model; torch.manual_seed(0); "
              "torch.save(Model(num_class=2, num_point=25, num_person=2, graph='graph.ntu_rgb_d.Graph')"
              f".state_dict(), {str(folder / 'weights.pt')!r})")
    assert run_script("-c", script, cwd=TREE).returncode == 0
    done = run_script("main.py", "--config", "config/demo/default.yaml", "--phase", "test", "--weights",
                      folder / "weights.pt", "--work-dir", folder / "work", "--model-args", "num_class=2",
                      "--test-feeder-args", f"data_path={folder / 'data.npz'},window_size=8",
                      "--test-batch-size", "8", "--num-worker", "0", "--device", "cpu", cwd=TREE)
    assert done.returncode == 0, done.stderr
    return folder


def strips(page: Path) -> int:
    """Return how many drawings of a clip stand in a page."""
    return page.read_text().count("skeletons of test_")


def test_a_test_shows_the_clips_it_got_wrong(tested):
    assert torch.load(tested / "weights.pt", weights_only=True)
    page = tested / "work" / "report.html"
    assert strips(page) >= 1 and "said by" in page.read_text()


def test_it_is_written_again_on_demand(tested, run_script):
    page = tested / "work" / "report.html"
    before = re.sub(r"Written on [^.]+", "", page.read_text())
    page.unlink()
    done = run_script(ROOT / "report.py", "work", cwd=tested)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(page)
    assert re.sub(r"Written on [^.]+", "", page.read_text()) == before


def test_class_names_from_a_file_and_no_clips(tested, run_script, tmp_path):
    (tmp_path / "names.txt").write_text("walk & run\n<b>jump</b>\n")
    done = run_script(ROOT / "report.py", tested / "work", "--class-names", tmp_path / "names.txt", "--no-clips")
    assert done.returncode == 0, done.stderr
    page = tested / "work" / "report.html"
    assert "walk &amp; run" in page.read_text() and "<b>jump" not in page.read_text() and strips(page) == 0


def test_data_out_of_reach_is_said(tested, run_script):
    (tested / "data.npz").rename(tested / "elsewhere.npz")
    try:
        done = run_script(ROOT / "report.py", tested / "work")
    finally:
        (tested / "elsewhere.npz").rename(tested / "data.npz")
    assert done.returncode == 0, done.stderr
    text = (tested / "work" / "report.html").read_text()
    assert "No pictures of the clips: " in text and "data.npz" in text and strips(tested / "work" / "report.html") == 0


@pytest.mark.parametrize("words", [("absent",), (".",)])
def test_a_folder_without_a_run_is_one_line(run_script, tmp_path, words):
    done = run_script(ROOT / "report.py", *words, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.fixture
def two_runs(tmp_path) -> Path:
    make_run(tmp_path / "first")
    make_run(tmp_path / "second", np.where(np.arange(len(TRUE)) == 2, 0, [0, 0, 1, 1, 1, 1, 1, 0, 0, 2]), base_lr=0.2)
    return tmp_path


def test_runs_are_compared(two_runs, run_script):
    done = run_script(ROOT / "compare_runs.py", "first", "second", cwd=two_runs)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^first +60.00 % +70.00 % +2 +100.00 % +12 +300 +2 min 00 s +6 min 06 s$", done.stdout, re.M)
    assert re.search(r"^base_lr +0.1 +0.2$", done.stdout, re.M) and "seed" not in done.stdout
    with open(two_runs / "comparison" / "classes.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["clips"] for row in rows] == ["4", "4", "2"]
    assert [float(row["recall first"]) for row in rows] == [0.5, 0.75, 1]
    assert [float(row["difference second"]) for row in rows] == [0.25, 0, -0.5]
    assert (two_runs / "comparison" / "curves.png").read_bytes().startswith(b"\x89PNG")
    page = (two_runs / "comparison" / "comparison.html").read_text()
    assert "(+25.0)" in page and "(-50.0)" in page and page.count("<polyline") == 8


def test_runs_of_one_name_are_told_apart(tmp_path, run_script):
    make_run(tmp_path / "a" / "joint")
    make_run(tmp_path / "b" / "joint")
    done = run_script(ROOT / "compare_runs.py", "a/joint", "b/joint", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^a/joint +60", done.stdout, re.M) and "The same settings." in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"classes.csv", "comparison.html", "curves.png"}


def test_runs_on_other_clips_are_compared_without_their_classes(two_runs, run_script):
    path = two_runs / "second" / "predictions.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    done = run_script(ROOT / "compare_runs.py", "first", "second", "--output", "out", cwd=two_runs)
    assert done.returncode == 0, done.stderr
    assert not (two_runs / "out" / "classes.csv").exists()
    page = (two_runs / "out" / "comparison.html").read_text()
    assert "not on the same test clips" in page
    said = ("Not the same test set: first was tested on 10 clips of an unknown file, second on 8 clips of an unknown "
            "file")
    assert f"warning: {said}; their accuracies do not compare." in done.stdout and said in page


def test_other_clips_of_as_many_classes_are_told_and_so_are_other_files(two_runs, tmp_path, run_script):
    make_run(tmp_path / "third", test_feeder_args={"data_path": "a.npz", "bone": False})
    make_run(tmp_path / "fourth", test_feeder_args={"data_path": "a.npz", "bone": True})
    make_run(tmp_path / "fifth", test_feeder_args={"data_path": "b.npz"})
    names = two_runs / "second" / "predictions.csv"
    names.write_text(names.read_text().replace("clip_", "other_"))
    done = run_script(ROOT / "compare_runs.py", "third", "first", "second", "fourth", "fifth", cwd=two_runs)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    assert len(told) == 2 and "Not the same test set: third was tested on 10 clips of /nowhere/a.npz, second" in told[0]
    assert "Perhaps not the same test set: third was tested on /nowhere/a.npz, fifth on /nowhere/b.npz" in told[1]


@pytest.mark.parametrize(("words", "complaint"), [
    (("first",), "two work directories or more"), (("first", "first"), "given twice"),
    (("first", "absent"), "absent: no such file or folder"),
    (("first", "second", "--class-names", "none.txt"), "none.txt")])
def test_what_cannot_be_compared_is_one_line(two_runs, run_script, words, complaint):
    done = run_script(ROOT / "compare_runs.py", *words, cwd=two_runs)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert complaint in done.stderr and not (two_runs / "comparison").exists()
