"""Predictions in words and as JSON, where the class is known, and where a file says -1: not known."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.predict.predictor import Prediction
from skeleton_lab.predict.recordings import Archived
from skeleton_lab.predict.results import Wording, as_json, lines

WORDING = Wording(["walk", "sit", "wave"], top_k=1, fps=30)
LOGITS = np.array([0, 4, 1], np.float32)


def predictions(*labels: int | None) -> list[Prediction]:
    return [Prediction(Archived(f"a.npz:test {row}", label, frames=np.ones((2, 1, 25, 3), np.float32)), LOGITS)
            for row, label in enumerate(labels)]


@pytest.mark.parametrize("label", [None, -1])
def test_a_class_that_is_not_known_is_no_truth(label):
    found = predictions(label, 1, 2)
    assert [line.partition(": ")[2] for line in lines(found, WORDING)] == [
        "sit 93.6 %", "sit 93.6 %", "sit 93.6 %  (is: wave)", "50.00 % of the 2 recordings whose class is known"]
    assert [entry["true_class"] for entry in as_json(found, WORDING)] == [None, 1, 2]
    assert len(lines(predictions(label, label), WORDING)) == 2  # no top-1
