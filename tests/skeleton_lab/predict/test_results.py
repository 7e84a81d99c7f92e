"""Predictions in words and as JSON, where the class is known, and where it is not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from skeleton_lab.data.formats.recording import Made, Recording
from skeleton_lab.predict.predictor import Prediction, truth_of
from skeleton_lab.predict.recordings import Archived
from skeleton_lab.predict.results import Wording, as_json, lines

WORDING = Wording(["walk", "sit", "wave"], top_k=1, fps=30)
LOGITS = np.array([0, 4, 1], np.float32)


def recording(label: int | None, class_names: tuple[str, ...] | None = None) -> Recording:
    return Recording("a.npz:test 0", np.ones((2, 1, 25, 3), np.float32), label=label, class_names=class_names,
                     made=Made.ARCHIVED)


def predictions(*truths: int | None) -> list[Prediction]:
    return [Prediction(Archived(recording(truth)), LOGITS, truth) for truth in truths]


def test_a_class_that_is_not_known_is_no_truth():
    found = predictions(None, 1, 2)
    assert [line.partition(": ")[2] for line in lines(found, WORDING)] == [
        "sit 93.6 %", "sit 93.6 %", "sit 93.6 %  (is: wave)", "50.00 % of the 2 recordings whose class is known"]
    assert [entry["true_class"] for entry in as_json(found, WORDING)] == [None, 1, 2]
    assert len(lines(predictions(None, None), WORDING)) == 2  # no top-1


OURS = ("walk", "sit", "wave")


@pytest.mark.parametrize(("label", "theirs", "ours", "truth"), [
    (1, None, None, 1), (1, None, OURS, 1), (None, None, OURS, None), (-1, None, OURS, None), (3, None, None, None),
    (0, ("wave", "bow"), OURS, 2), (1, ("wave", "bow"), OURS, None),  # by name, and no other set's number
    (1, ("a", "b", "c"), None, 1), (1, ("a", "b"), None, None), (4, ("a", "b"), OURS, None)])
def test_a_recordings_class_among_the_models(label, theirs, ours, truth):
    trained = SimpleNamespace(class_names=ours, num_classes=3)
    assert truth_of(recording(label, theirs), trained) == truth
