"""The next-action set: the layout the trees read, labels by the chain, refusals; and a tree trains on it."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from skeleton_lab.data.formats.layouts import open_split
from skeleton_lab.data.generate.next_action import Chain
from tests.trees import ROOT

SCRIPT = "dataset_tools/make_next_action_set.py"
SMALL = ("--actions", "4", "--train", "12", "--test", "8")


@pytest.fixture(scope="module")
def made(tmp_path_factory, run_script):
    """The archive and what was printed."""
    path = tmp_path_factory.mktemp("next") / "next_action.npz"
    done = run_script(SCRIPT, "--output", path, *SMALL)
    assert done.returncode == 0, done.stderr
    return path, done.stdout


def test_layout_is_the_kaggle_one_and_clips_hold_two_actions(made):
    split = open_split(made[0], "train")
    assert (split.layout, split.num_clips, split.num_frames) == ("kaggle", 12, 300)
    assert set(split.labels) <= set(range(4))
    for index in range(split.num_clips):
        frames = split.frames(index)
        used = np.flatnonzero(frames.any(axis=(1, 2, 3)))
        assert used[0] == 0 and used[-1] == len(used) - 1 and 64 <= len(used) <= 300
        assert not frames[0, 0, 1].any()  # the origin


def test_it_says_what_accuracies_mean(made):
    assert "chance: 25.0 %" in made[1] and "best possible: 85.0 % (on this test: " in made[1]
    percent = 100 * Chain.make(4, 0.85, 0).best_accuracy(2)
    assert f"without the last action shown: {percent:.1f} % (on this test: " in made[1]


def test_same_options_same_bytes(made, run_script, tmp_path):
    assert run_script(SCRIPT, "--output", tmp_path / "again.npz", *SMALL).returncode == 0
    assert (tmp_path / "again.npz").read_bytes() == made[0].read_bytes()


def test_labels_follow_the_last_action(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("make_next_action_set", ROOT / SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make_next_action_set", script)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", ["", "--output", str(tmp_path / "a.npz"), "--likely", "1", "--shown", "3"])
    options = script.read_options()
    chain = Chain.make(options.actions, options.likely, options.seed)
    train, test = (script.plan(200, performers, chain, options) for performers in ((1, 2), (3, 6)))
    for part, performers in ((train, {1, 2}), (test, {3, 6})):
        assert {sample.performer for sequence in part for sample in sequence.shown} == performers
        samples = [sample for sequence in part for sample in sequence.shown]
        assert len(set(samples)) == len(samples) == 600
        for sequence in part:
            assert sequence.next_action == chain.successor[sequence.last_action]
            assert len({(s.performer, s.setup, s.camera) for s in sequence.shown}) == 1


def test_a_tree_trains_on_it(made, run_script, tmp_path):
    data = f"data_path={made[0]},window_size=8,p_interval=1"
    done = run_script("main.py", "--config", "config/demo/default.yaml", "--train-feeder-args", data,
                      "--test-feeder-args", data, "--num-epoch", "1", "--batch-size", "4", "--work-dir",
                      tmp_path / "work", "--observe", "0.5", cwd=ROOT / "CTR-GCN")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "best.pt").exists()


@pytest.mark.parametrize(("flags", "complaint"), [
    (("--likely", "0.1"), "--likely 0.1: must be more than 1 in 10"), (("--actions", "2"), "--actions 2: must be"),
    (("--frames", "299"), "--frames 299: must be between 300 and"), (("--shown", "0"), "--shown 0: must be between 1"),
])
def test_bad_options_are_one_line(run_script, tmp_path, flags, complaint):
    done = run_script(SCRIPT, "--output", tmp_path / "x.npz", *flags)
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_not_replaced_unasked(made, run_script):
    before = made[0].read_bytes()
    done = run_script(SCRIPT, "--output", made[0], *SMALL)
    assert done.returncode == 2 and "exists; give another --output" in done.stderr
    assert made[0].read_bytes() == before
