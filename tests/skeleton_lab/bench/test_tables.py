"""Rows as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from skeleton_lab.bench import tables

GOOD = {"model": "msg3d", "status": "ok", "num_frames": 300, "batch_size": 32, "forward_batch_size": 16,
        "precision": "float32", "parameters": 3194595, "gflops_per_clip": 40.7, "step_ms": 500.0,
        "step_ms_least": 490.0, "step_ms_most": 530.0, "clips_per_s": 64.0,
        "peak_allocated_mib": 5000.0, "peak_reserved_mib": 5500.0,
        "verdict": "tight", "verdict_flags": ["--memory-friendly"], "largest_batch": 21, "predicted": False,
        "budget_bytes": 8 * 10**9, "epoch_s": 626.4, "recipe_s": 31320.0, "recipe_peak_bytes": 5.2e9,
        "footprint": {"standing": 1}}
BAD = {"model": "ctrgcn", "status": "failed", "error": "ImportError: no"}
NONE_FITS = {"model": "gcn", "status": "out of memory", "error": "not even one clip", "verdict": "no",
             "verdict_flags": [], "largest_batch": 0, "predicted": True, "budget_bytes": 10**6}


def test_a_failed_model_leaves_a_row_and_the_others_intact():
    good, bad = tables.measurements([GOOD, BAD]).splitlines()[1:]
    assert good.split() == ["msg3d", "300", "2", "x", "16", "float32", "3,194,595", "40.70", "500.0", "(490.0", "to",
                            "530.0)", "64.0", "5,000", "/", "5,500"]
    assert bad == "ctrgcn  failed: ImportError: no"


def test_verdicts_end_on_the_word_and_its_flags():
    text = tables.verdicts([GOOD, BAD, NONE_FITS]).splitlines()
    assert len(text) == 3
    assert text[1].endswith("5.20     21             tight --memory-friendly")
    assert text[2].endswith("no")
    markdown = tables.verdicts([GOOD], markdown=True).splitlines()
    assert all(line.count("|") == 6 for line in markdown) and len(markdown) == 3


def test_how_long_is_told_apart_from_what_fits_and_here_apart_from_other_cards():
    here = tables.durations_here([GOOD | {"device_name": "CPU, 2 threads"}, BAD, NONE_FITS])
    assert "CPU, 2 threads" in here and here.splitlines()[-1].split() == ["msg3d", "64.0", "10.4", "min", "8.7", "h"]
    assert tables.durations_here([BAD]) == tables.durations_on_cards([GOOD, BAD]) == ""
    stay = {"card": "A, 8 GB", "least_h": 1.23, "most_h": 45.6, "memory_friendly": True}
    cards = tables.durations_on_cards([GOOD | {"hours_on_cards": [stay, {**stay, "memory_friendly": False}]}, BAD])
    assert "estimates" in cards and re.split("  +", cards.splitlines()[-1]) == ["msg3d", "1.2 to 46 h *", "1.2 to 46 h"]
    assert "10.4 min" not in tables.verdicts([GOOD]) + tables.verdict_heading([GOOD], amp=False)


@pytest.mark.parametrize(("seconds", "text"), [(0.5, "0.5 s"), (119, "119.0 s"), (120, "2.0 min"), (7200, "2.0 h"),
                                               (172800, "2.0 days"), (864000, "10.0 days")])
def test_durations(seconds, text):
    assert tables.duration(seconds) == text


def test_json_and_csv_hold_the_figures():
    assert json.loads(tables.to_json([GOOD, BAD], {"torch": "2"}))["rows"] == [GOOD, BAD]
    rows = list(csv.DictReader(io.StringIO(tables.to_csv([BAD, GOOD]))))
    assert rows[0]["error"] == "ImportError: no" and rows[0]["clips_per_s"] == ""
    assert rows[1]["clips_per_s"] == "64.0" and rows[1]["verdict_flags"] == "--memory-friendly"
    assert "footprint" not in rows[0]


def test_the_accuracy_of_predictions_is_what_the_checks_say():
    checks = [{"device_type": "cpu", "predicted_bytes": 110, "measured_bytes": 100},
              {"device_type": "cpu", "predicted_bytes": 95, "measured_bytes": 100}]
    gpu = "on a GPU (peaks of 1 GB and more)"
    assert f"off by at most 10.0% at 2 points; {gpu} not checked yet" in tables.accuracy_text(checks)
    assert "on a CPU (bytes kept by autograd) not checked yet" in tables.accuracy_text([])
    checks = [{"device_type": "cuda", "predicted_bytes": 98e7 * size, "measured_bytes": 1e9 * size}
              for size in (0.5, 1, 2)] + [{"device_type": "cuda", "predicted_bytes": 2, "measured_bytes": 1}]
    assert f"{gpu} off by at most 2.0% at 2 points." in tables.accuracy_text(checks)


def test_a_prediction_is_called_one():
    assert "searched on this card" in tables.verdict_heading([GOOD], amp=False)
    assert "predicted" in tables.verdict_heading([NONE_FITS], amp=True)
    assert any("prediction" in line for line in tables.notes([NONE_FITS]))
    assert not any("prediction" in line for line in tables.notes([GOOD]))
