"""Fusing the score files of several streams: a weighted sum of logits, joined by sample name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import NOT_KNOWN, top_k_accuracy
from skeleton_lab.pickles import load_plain_pickle

SCORE_FILE = "epoch1_test_score.pkl"


@dataclass(frozen=True)
class Stream:
    """One stream's scores.

    Attributes:
        name: what to call it ("joint", "bone", ...).
        path: its score file.
        names: sample names, in the file's order.
        scores: (N, classes) float32 logits.
    """

    name: str
    path: Path
    names: list[Hashable]
    scores: NDArray[np.float32]


def read_stream(name: str, folder: str | Path) -> Stream:
    """Read the score file of a test run's work directory (or the file itself).

    Raises:
        UserError: missing, or not a mapping from sample name to one score per class.
    """
    path = Path(folder)
    path = path / SCORE_FILE if path.is_dir() or path.suffix != ".pkl" else path
    if not path.is_file():
        raise UserError(f"{path}: no score file of the {name} stream; test it first, with --phase test "
                        "--save-score true")
    content = load_plain_pickle(path)
    try:
        names = list(content)
        scores = np.stack([np.asarray(content[key], dtype=np.float32) for key in names])
    except (TypeError, ValueError, KeyError, IndexError):
        scores = np.empty(0, np.float32)
    if scores.ndim != 2:
        raise UserError(f"{path}: not a score file: expected a mapping from sample name to one score per class; test "
                        "again, with --phase test --save-score true")
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise UserError(f"{path}: the scores of '{names[int(finite.argmin())]}' and {(~finite).sum() - 1} more samples "
                        f"are NaN or infinite, so the {name} stream's training diverged; train it again")
    return Stream(name, path, names, scores)


def fuse(streams: Sequence[Stream], weights: Sequence[float]) -> NDArray[np.float32]:
    """Return the weighted sum of the streams' logits, (N, classes), in the first stream's order.

    Raises:
        UserError: the streams hold different samples or classes, or the sum is not finite.
    """
    aligned = align(streams)
    total = np.zeros_like(aligned[0].scores)
    with np.errstate(over="ignore", invalid="ignore"):
        for stream, weight in zip(aligned, weights, strict=True):
            total += weight * stream.scores
    if not np.isfinite(total).all():
        raise UserError(f"weights {' '.join(f'{weight:g}' for weight in weights)}: the sum of the scores is infinite; "
                        "give smaller ones")
    return total


def align(streams: Sequence[Stream]) -> list[Stream]:
    """Return the streams with their samples in the order of the first one.

    Raises:
        UserError: the streams hold different samples or classes.
    """
    first, aligned = streams[0], []
    for stream in streams:
        rows = {name: row for row, name in enumerate(stream.names)}
        missing = [name for name in first.names if name not in rows]
        if missing or len(stream.names) != len(first.names):
            example = f", for example '{missing[0]}'" if missing else ""
            raise UserError(f"{stream.path}: {len(stream.names)} samples, {len(missing)} of {first.path}'s "
                            f"{len(first.names)} missing{example}; test all streams on the same data")
        if stream.scores.shape[1] != first.scores.shape[1]:
            raise UserError(f"{stream.path}: {stream.scores.shape[1]} classes, but {first.path} has "
                            f"{first.scores.shape[1]}; test all streams on the same data")
        aligned.append(replace(stream, names=first.names, scores=stream.scores[[rows[name] for name in first.names]]))
    return aligned


def truth_of(streams: Sequence[Stream], labels: Mapping[Hashable, int]) -> NDArray[np.int64]:
    """Return the classes (N,) of the first stream's samples, in its order; -1: not known.

    Raises:
        UserError: a sample without a label, or with one that the scores have no column for; no label is known.
    """
    first = streams[0]
    unknown = [name for name in first.names if name not in labels]
    if unknown:
        raise UserError(f"{first.path}: sample '{unknown[0]}' has no label in this data set "
                        f"({len(unknown)} such); check that the scores were made from it")
    truth = np.array([labels[name] for name in first.names], np.int64)
    if len(truth) and not NOT_KNOWN <= truth.min() <= truth.max() < first.scores.shape[1]:
        raise UserError(f"{first.path}: scores of {first.scores.shape[1]} classes, but labels from {truth.min()} to "
                        f"{truth.max()}; check that both are of the same data set")
    if len(truth) and (truth == NOT_KNOWN).all():
        raise UserError(f"{first.path}: of no sample is the class known (all labels are -1); give labels that are")
    return truth


def print_accuracies(streams: Sequence[Stream], weights: Sequence[float], labels: Mapping[Hashable, int]) -> None:
    """Print each stream's accuracy, then the ensemble's in the lines that upstream's tool prints.

    Args:
        labels: class index of each sample name.

    Raises:
        UserError: a sample without a label, or streams that do not fit together.
    """
    fused = fuse(streams, weights)
    truth = truth_of(streams, labels)
    for stream, weight in zip(streams, weights, strict=True):
        own = np.array([labels[name] for name in stream.names])
        print(f"{stream.name} (weight {weight:g}): top-1 {100 * top_k_accuracy(stream.scores, own, 1):.2f}%")
    for k in (1, 5):
        print(f"Top{k} Acc: {100 * top_k_accuracy(fused, truth, k):.4f}%")
