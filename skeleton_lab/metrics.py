"""Accuracy figures from scores and labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NOT_KNOWN = -1  # the label of a clip whose class is not known


def top_k_accuracy(scores: NDArray[np.floating], labels: NDArray[np.integer], k: int) -> float:
    """Return the fraction of clips whose label is among the `k` largest scores, of those whose label is known.

    Args:
        scores: (N, classes) logits or probabilities.
        labels: (N,) class indices; -1: not known.
        k: how many of the largest count; more than there are classes counts all.
    """
    known = labels != NOT_KNOWN
    if not known.any():
        return 0.0
    if not known.all():
        scores, labels = scores[known], labels[known]
    largest = np.argsort(scores, axis=1, kind="stable")[:, -k:]  # (N, k)
    return float((largest == labels[:, None]).any(axis=1).mean())


def confusion(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the (classes, classes) counts of clips whose label is known; row: true class, column: predicted."""
    from sklearn.metrics import confusion_matrix  # slow to import; scripts that only train do without

    classes, known = np.arange(scores.shape[1]), labels != NOT_KNOWN
    if not known.any():
        return np.zeros((len(classes), len(classes)), np.int64)
    scores, labels = scores[known], labels[known]
    return confusion_matrix(labels, scores.argmax(axis=1), labels=classes)


def class_accuracy(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the (classes,) recall of each class; 0 for a class without clips."""
    return np.diag(counts) / np.maximum(counts.sum(axis=1), 1)
