"""What a run records of itself, through the toy tree's command line: run.json, predictions.csv, report.html."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import top_k_accuracy
from skeleton_lab.pickles import load_plain_pickle
from tests.skeleton_lab.train.conftest import run_here


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "work"
    done = run_here(folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def record_of(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def test_the_machine_and_every_epoch_are_recorded(trained):
    record = record_of(trained[0])["train"]
    assert [row["epoch"] for row in record["epochs"]] == [1, 2, 3]
    assert all(row["train_s"] > 0 and row["test_s"] > 0 and row["peak_mib"] > 50 for row in record["epochs"])
    assert record["machine"]["cpu"] and record["machine"]["gpu"] is None and record["parameters"] == 75
    assert record["finished"] and record["precision"] == "float32" and record["device"] == "cpu"


def test_predictions_are_those_of_the_best_weights(trained):
    folder, _ = trained
    rows = rows_of(folder / "predictions.csv")
    scores = load_plain_pickle(folder / "epoch1_test_score.pkl")  # of the best weights, tested again
    assert [row["sample"] for row in rows] == list(scores)
    logits, true = np.stack(list(scores.values())), np.array([int(row["true"]) for row in rows])
    assert [int(row["predicted"]) for row in rows] == logits.argmax(axis=1).tolist()
    ranks = np.array([int(row["rank"]) for row in rows])
    for k in (1, 2, 3):
        assert (ranks <= k).mean() == top_k_accuracy(logits, true, k)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose([float(row["probability"]) for row in rows], shares.max(axis=1), atol=1e-4)
    best = max(rows_of(folder / "history.csv"), key=lambda row: float(row["test_top1"]))
    assert record_of(folder)["predictions"] == {"phase": "train", "weights": "best.pt", "epoch": int(best["epoch"])}
    assert float(best["test_top1"]) == pytest.approx((ranks == 1).mean(), abs=1e-5)


def test_a_training_ends_with_its_report(trained):
    folder, output = trained
    page = (folder / "report.html").read_text()
    assert "toy_model.Model" in page and "Confusion matrix" in page and "warning" not in output


@pytest.mark.parametrize(("fault", "told"), [
    (UserError("report.html: cannot write it (No space left on device)"), ""),
    (ZeroDivisionError("by\nzero"), " (by zero); nothing else is affected")])
def test_a_report_that_cannot_be_written_is_one_line_and_no_failure(tmp_path, monkeypatch, fault, told):
    def refuse(*args):
        raise fault

    monkeypatch.setattr("skeleton_lab.report.run_report.write_report", refuse)
    done = run_here(tmp_path / "work", "--num-epoch", "1")
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and warnings[0].startswith(f"warning: report.html could not be written{told}")
    assert (tmp_path / "work" / "best.pt").is_file()


def test_a_test_adds_its_own_part(trained, tmp_path):
    folder, _ = trained
    done = run_here(tmp_path / "test", "--phase", "test", "--weights", str(folder / "best.pt"))
    assert done.returncode == 0, done.stderr
    record = record_of(tmp_path / "test")
    assert "train" not in record and record["test"]["clips"] == 24 and record["test"]["clips_per_s"] > 0
    assert rows_of(tmp_path / "test" / "predictions.csv") == rows_of(folder / "predictions.csv")
    assert str(folder / "best.pt") in (tmp_path / "test" / "report.html").read_text()


def test_a_resumed_training_keeps_its_epochs(tmp_path):
    folder = tmp_path / "work"
    assert run_here(folder, "--num-epoch", "2").returncode == 0
    before = record_of(folder)["train"]
    assert run_here(folder, "--num-epoch", "3", "--resume").returncode == 0
    after = record_of(folder)["train"]
    assert after["epochs"][:2] == before["epochs"] and len(after["epochs"]) == 3
    assert (after["started"], after["resumptions"]) == (before["started"], 1)


@pytest.mark.parametrize("content", [
    "", "[1]", '{"train": []}', '{"train": {"epochs": [{"epoch": 2, "train_s": "x"}, 5], "resumptions": "y"}}'])
def test_a_damaged_record_does_not_stop_a_training(tmp_path, content):
    folder = tmp_path / "work"
    assert run_here(folder, "--num-epoch", "1").returncode == 0
    (folder / "run.json").write_text(content)
    done = run_here(folder, "--num-epoch", "2", "--resume")
    assert done.returncode == 0, done.stderr
    assert record_of(folder)["train"]["epochs"][-1]["train_s"] > 0


def test_overwriting_starts_a_new_record(tmp_path):
    folder = tmp_path / "work"
    assert run_here(folder, "--num-epoch", "2").returncode == 0
    assert run_here(folder, "--num-epoch", "1", "--overwrite").returncode == 0
    assert [row["epoch"] for row in record_of(folder)["train"]["epochs"]] == [1]
