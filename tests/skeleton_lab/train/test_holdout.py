"""Validation clips: drawn from the training's or given, they choose the best epoch; exact when resumed or shared."""

import csv
import importlib

import numpy as np
import pytest
import torch

from skeleton_lab.errors import UserError
from skeleton_lab.train.holdout import held_out, rows_of
from tests.ranks import run_ranks
from tests.skeleton_lab.train.conftest import TOY, assert_same_weights, run_here

ALL = ("--val-share", "0.25", "--class-weights", "balanced", "--label-smoothing", "0.1", "--freeze", "hidden.bias",
       "--early-stop", "9", "--train-feeder-args", "clips=40", "--test-feeder-args", "clips=40")
PLAIN = ("--train-feeder-args", "noise=0.0,clips=40", "--test-feeder-args", "clips=40", "--model",
         "toy_model_plain.Model")


def test_each_class_gives_its_share_and_the_seed_decides():
    labels = np.repeat([0, 1, 2], [40, 10, 2])
    chosen = held_out(labels, 0.2, seed=1)
    assert np.bincount(labels[chosen]).tolist() == [8, 2, 1]
    assert (chosen == held_out(labels, 0.2, seed=1)).all() and (chosen != held_out(labels, 0.2, seed=2)).any()
    assert np.bincount(labels[held_out(labels, 0.99, seed=1)]).tolist() == [39, 9, 1]


def test_a_class_of_one_clip_is_named():
    with pytest.raises(UserError, match=r"--val-share 0.1: class 3 has one training clip"):
        held_out([0, 0, 3], 0.1, seed=0)


def test_a_feeder_that_repeats_its_samples_keeps_them_together():
    assert rows_of(np.array([True, False, False]), 9).tolist() == [0, 3, 6]


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{key: value for key, value in row.items() if key != "clips_per_s"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    done = run_here(folder, *ALL)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_best_epoch_is_that_of_the_validation_clips(whole):
    folder, said = whole
    values = [float(row["val_top1"]) for row in history(folder)]
    best = 1 + values.index(max(values))
    state = torch.load(folder / "training_state.pt", weights_only=True)
    assert state["best"]["epoch"] == best and state["best"]["val_accuracy"] == pytest.approx(max(values))
    assert f"Best epoch ({best})" in said and "(The best epoch is picked on the validation clips" in said
    assert "\tValidation: loss " in said and "of 10 clips." in said  # a quarter of 14, 13 and 13
    report = (folder / "report.html").read_text()
    assert "picked on validation clips" in report
    assert all(name in report for name in ("val_share", "class_weights", "label_smoothing", "freeze", "early_stop"))


def test_a_feeder_is_told_which_clips_are_held_out(tmp_path, monkeypatch):
    def told(feeder):
        raise UserError(f"{len(feeder)} clips as tested")

    monkeypatch.syspath_prepend(str(TOY))
    monkeypatch.setattr(importlib.import_module("toy_feeder").Feeder, "as_tested", told, raising=False)
    assert "40 clips as tested" in run_here(tmp_path / "held_out", *ALL).stderr
    assert run_here(tmp_path / "none", "--num-epoch", "1").returncode == 0


def test_resumed_it_is_the_same_to_the_bit(whole, tmp_path):
    assert run_here(tmp_path, *ALL, "--num-epoch", "1").returncode == 0
    assert run_here(tmp_path, *ALL, "--resume").returncode == 0
    for name in ("training_state.pt", "best.pt"):
        assert_same_weights(whole[0] / name, tmp_path / name)
    assert history(whole[0]) == history(tmp_path)
    done = run_here(tmp_path, *ALL, "--resume", "--num-epoch", "4", "--val-share", "0.5")
    assert done.returncode == 2 and "val_share: 0.25 before, 0.5 now" in done.stderr


def test_two_processes_take_the_steps_of_one(tmp_path):
    flags = (*PLAIN, "--val-share", "0.25", "--class-weights", "balanced", "--label-smoothing", "0.1", "--freeze",
             "fc.bias", "--early-stop", "9")
    assert run_here(tmp_path / "one", *flags).returncode == 0
    ends = run_ranks(2, run_here, tmp_path / "two", *flags)
    assert [end.returncode for end in ends] == [0, 0], ends
    one, two = (torch.load(tmp_path / name / "best.pt", weights_only=True) for name in ("one", "two"))
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-5, atol=1e-6, msg=key)
    for before, now in zip(history(tmp_path / "one"), history(tmp_path / "two"), strict=True):
        for column in before:
            assert float(now[column]) == pytest.approx(float(before[column]), rel=1e-4), column
    for more in (("--num-epoch", "1"), ("--resume",)):
        ends = run_ranks(2, run_here, tmp_path / "resumed", *flags, *more)
        assert [end.returncode for end in ends] == [0, 0], ends
    for name in ("training_state.pt", "best.pt"):
        assert_same_weights(tmp_path / "two" / name, tmp_path / "resumed" / name)


def test_two_processes_end_early_together_and_leave_the_same_weights_frozen(tmp_path):
    flags = (*PLAIN, "--base-lr", "0", "--num-epoch", "9", "--early-stop", "1", "--val-share", "0.25", "--nesterov",
             "false", "--weight-decay", "0", "--freeze", "fc.bias")
    ends = run_ranks(2, run_here, tmp_path, *flags)
    assert [end.returncode for end in ends] == [0, 0], ends
    assert "Ended early, after epoch 2: none of the last 1 epochs was better." in ends[0].stdout
    assert len(history(tmp_path)) == 2
    ends = run_ranks(2, run_here, tmp_path, *flags, "--resume")
    assert [end.returncode for end in ends] == [0, 0] and "finished already, after 2 epochs" in ends[0].stdout


def test_it_ends_early_and_stays_ended(tmp_path):
    flags = ("--base-lr", "0", "--num-epoch", "9", "--early-stop", "2", "--val-feeder-args", "clips=12", "--nesterov",
             "false", "--weight-decay", "0")  # weights that never change: no epoch is better than the first
    done = run_here(tmp_path, *flags, "--freeze", "bn")
    assert done.returncode == 0 and "Ended early, after epoch 3: none of the last 2 epochs was better." in done.stdout
    assert "of 12 clips." in done.stdout and len(history(tmp_path)) == 3
    done = run_here(tmp_path, *flags, "--freeze", "bn", "--resume")
    assert done.returncode == 0 and "finished already, after 3 epochs" in done.stdout


@pytest.mark.parametrize(("flags", "words"), [
    (("--val-share", "0.2", "--val-feeder-args", "clips=3"), "--val-share and --val-feeder-args contradict each other"),
    (("--val-share", "0.2", "--test-feeder-args", "clips=10"), "do not read the training data's clips"),
    (("--val-share", "0.9"), "train_feeder_args: 3 clip(s) make no batch of 6")])
def test_what_gives_no_validation_clips_is_one_line(tmp_path, flags, words):
    done = run_here(tmp_path / "work", *flags)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and words in done.stderr
    assert not list((tmp_path / "work").glob("*.pt"))
