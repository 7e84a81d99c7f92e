"""Clips whose class is not known, label -1: tested without a truth, never trained on."""

from __future__ import annotations

import csv
import json
import pickle

import numpy as np
import pytest
import torch

from skeleton_lab.metrics import confusion, top_k_accuracy
from skeleton_lab.report.results import read_run
from skeleton_lab.train.loop import check_labels
from tests.skeleton_lab.train.conftest import run_here

SCORES = np.array([[3, 1, 0], [0, 3, 1], [0, 1, 3], [3, 0, 1]], np.float32)


def test_figures_count_known_classes_only():
    labels = np.array([0, -1, 1, 2])
    assert top_k_accuracy(SCORES, labels, 1) == pytest.approx(1 / 3)
    assert top_k_accuracy(SCORES, labels, 2) == 1
    assert confusion(SCORES, labels).tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
    unknown = np.full(4, -1)
    assert top_k_accuracy(SCORES, unknown, 1) == 0 and not confusion(SCORES, unknown).any()


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Return a function that tests one set of weights, of the 24 clips the first few unlabelled."""
    folder = tmp_path_factory.mktemp("toy")
    assert run_here(folder / "train", "--num-epoch", "1").returncode == 0

    def test(not_known: int):
        work_dir = folder / f"test{not_known}"
        done = run_here(work_dir, "--phase", "test", "--weights", str(folder / "train" / "best.pt"), "--save-score",
                        "true", "--test-feeder-args", f"noise=0,not_known={not_known}")
        assert done.returncode == 0, done.stderr
        return work_dir, done.stdout

    return test


def test_a_test_counts_the_known_and_scores_all(tested):
    whole, _ = tested(0)
    part, log = tested(9)
    assert "The class of 15 of 24 clips is known" in log
    scores, all_scores = (pickle.loads((path / "epoch1_test_score.pkl").read_bytes()) for path in (part, whole))
    assert list(scores) == list(all_scores) and all(np.array_equal(scores[name], all_scores[name]) for name in scores)
    logits = torch.from_numpy(np.stack(list(scores.values())))
    labels = torch.arange(24) % 3
    losses = [torch.nn.functional.cross_entropy(logits[first:stop], labels[first:stop])
              for first, stop in ((9, 14), (14, 21), (21, 24))]  # batches of 7; of the first one nothing is known
    assert f"Mean test loss of 3 batches: {torch.stack(losses).mean():.6f}." in log
    right = float((logits.argmax(1) == labels)[9:].float().mean())
    assert f"Top1: {100 * right:.2f}%" in log
    with open(part / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["true"] for row in rows] == [""] * 9 + [str(int(label)) for label in labels[9:]]
    assert {row["rank"] for row in rows[:9]} == {""} and "" not in {row["rank"] for row in rows[9:]}
    run = read_run(part)
    assert run.counts is not None and run.counts.sum() == 15 and run.predictions.top_k(1) == pytest.approx(right)
    assert json.loads((part / "run.json").read_text())["test"]["clips"] == 24


def test_a_test_without_any_truth_gives_scores_and_no_figures(tested):
    work_dir, log = tested(24)
    assert "The class of 0 of 24 clips is known" in log and "Top1" not in log and "loss of" not in log
    assert len(pickle.loads((work_dir / "epoch1_test_score.pkl").read_bytes())) == 24
    assert not (work_dir / "confusion_matrix.png").exists() and read_run(work_dir).predictions is None


@pytest.mark.parametrize(("flags", "complaint"), [
    (("--train-feeder-args", "not_known=2"), "train_feeder_args: the label of clip 0 is -1"),
    (("--test-feeder-args", "not_known=24"), "test_feeder_args: of no clip is the class known"),
])
def test_a_training_wants_the_truth(toy, tmp_path, flags, complaint):
    done = toy(tmp_path / "work", *flags)
    assert done.returncode == 2 and complaint in done.stderr.strip().splitlines()[-1]


def test_labels_that_are_no_classes():
    check_labels(torch.tensor([0, -1, 2]), 3, not_known_ok=True)
    with pytest.raises(Exception, match=r"label -1 is no class.*not trained on"):
        check_labels(torch.tensor([0, -1, 2]), 3)
    with pytest.raises(Exception, match=r"label 3 is out of range.*if the labels count from 1, subtract 1"):
        check_labels(torch.tensor([1, 2, 3]), 3)
