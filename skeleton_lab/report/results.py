"""What a work directory holds, read for a report; runs of older versions lack some of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import NOT_KNOWN
from skeleton_lab.streams.fuse import SCORE_FILE, read_stream
from skeleton_lab.train.config import read_mapping
from skeleton_lab.train.workdir import PREDICTIONS, read_record

_LONGEST_COMMAND = 20_000  # characters
_MOST_CLASSES = 2_000  # of whose square a confusion matrix still is moderate
_MOST_EPOCHS = 1_000_000
CONFIGS = ("config.yaml", "config_test.yaml")


@dataclass(frozen=True)
class Predictions:
    """What a model made of each clip of a test set.

    Attributes:
        names: of the N samples. true, predicted: (N,) class indices; a true one of -1 is not known.
        probability: (N,) of the predicted class; NaN where not known.
        rank: (N,) place of the true class, from 1; 0 where not known.
        classes: how many there are.
    """

    names: list[str]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]
    rank: NDArray[np.int64]
    classes: int

    def confusion(self) -> NDArray[np.int64]:
        """Return the (classes, classes) counts of samples whose class is known; row: true class."""
        counts = np.zeros((self.classes, self.classes), np.int64)
        known = self.true != NOT_KNOWN
        np.add.at(counts, (self.true[known], self.predicted[known]), 1)
        return counts

    def top_k(self, k: int) -> float | None:
        """Return the share of clips whose class is among the `k` highest scores; None where ranks are not known."""
        ranks = self.rank[self.true != NOT_KNOWN]
        return float((ranks <= k).mean()) if len(ranks) and ranks.all() else None


@dataclass(frozen=True)
class Run:
    """A work directory.

    Attributes:
        path: the folder.
        settings: the resolved config. command: the command line it was made by.
        history: a row per epoch: column -> number, or None.
        predictions: of the best or the tested weights.
        counts: the confusion matrix, (classes, classes), of those weights.
        record: the content of run.json: machine, speed, memory.
    """

    path: Path
    settings: dict[str, Any]
    command: str
    history: list[dict[str, float | None]] = field(default_factory=list)
    predictions: Predictions | None = None
    counts: NDArray[np.int64] | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> dict[str, float | None]:
        """The epoch of the highest top-1 accuracy, the first of several; {} without one.

        On validation clips, if the run has any, else on the test split.
        """
        column = "val_top1" if self.has_validation else "test_top1"
        rated = [row for row in self.history if row.get(column) is not None]
        return max(rated, key=lambda row: row[column] or 0, default={})

    @property
    def has_validation(self) -> bool:
        """Whether the best epoch was chosen on validation clips."""
        return any(row.get("val_top1") is not None for row in self.history)

    @property
    def last(self) -> dict[str, float | None]:
        """The last evaluated epoch; {} without one."""
        return next((row for row in reversed(self.history) if row.get("test_top1") is not None), {})

    def part(self, phase: str) -> dict[str, Any]:
        """Return what was recorded of the phase "train" or "test"."""
        part = self.record.get(phase)
        return part if isinstance(part, dict) else {}


def read_run(path: str | Path) -> Run:
    """Read a work directory.

    Raises:
        UserError: no such folder, no results of a training or test in it, or a damaged file.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; give the work directory of a training or a test")
    config = next((path / name for name in CONFIGS if (path / name).is_file()), None)
    if config is None:
        raise UserError(f"{path}: no config.yaml, so no training or test was run here; give the folder that was its "
                        "--work-dir")
    settings, command = read_saved_config(config)
    history = read_history(path / "history.csv")
    predictions = read_predictions(path)
    run = Run(path, settings, command, history, predictions, None, read_record(path))
    counts = predictions.confusion() if predictions else _class_table(path, run.best)
    return Run(path, settings, command, history, predictions, counts, run.record)


def read_history(path: Path) -> list[dict[str, float | None]]:
    """Read history.csv; an absent file is an empty history.

    Raises:
        UserError: it is not a table of numbers.
    """
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{str(key): float(value) if value else None for key, value in row.items()}
                    for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: not a table of an epoch's figures in each row ({error}); restore it, or delete "
                        "it") from None
    if not all(0 <= (-1 if (epoch := row.get("epoch")) is None else epoch) <= _MOST_EPOCHS for row in rows):
        raise UserError(f"{path}: a row without the number of its epoch; restore the file, or delete it")
    return rows


def read_predictions(folder: Path) -> Predictions | None:
    """Read predictions.csv; where there is none, what older versions left: the list of all samples, and scores.

    None without either, or if of no sample the class is known.

    Raises:
        UserError: a file is damaged.
    """
    path = folder / PREDICTIONS
    found = _read_table(path) if path.is_file() else _read_newest_list(folder)
    return found if found is not None and (found.true != NOT_KNOWN).any() else None


def _read_newest_list(folder: Path) -> Predictions | None:
    lists = sorted([*folder.glob("*_right.txt"), *folder.glob("right-samples.txt")], key=lambda p: p.stat().st_mtime)
    return _read_list(lists[-1], folder / SCORE_FILE) if lists else None


def _read_table(path: Path) -> Predictions:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if any("-" in row["true"] for row in rows):  # not known is an empty cell
            raise ValueError("a class below 0")
        true, predicted, rank = (np.array([int(row[key] or unknown) for row in rows], np.int64)
                                 for key, unknown in (("true", NOT_KNOWN), ("predicted", ""), ("rank", 0)))
        names, probability = [row["sample"] for row in rows], np.array([float(row["probability"]) for row in rows])
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path}: not a table of predictions ({type(error).__name__}: {error}); test again, or delete "
                        "it") from None
    return _checked(path, Predictions(names, true, predicted, probability, rank, 0), 0)


def _read_list(path: Path, scores: Path) -> Predictions:
    """Read lines `predicted,true`, and names and scores where they fit."""
    try:
        pairs = np.array([line.split(",") for line in path.read_text().split()], np.int64).reshape(-1, 2)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not lines of predicted,true ({error}); test again, or delete it") from None
    predicted, true = pairs.T
    unknown = np.full(len(true), np.nan)
    found = Predictions([str(i) for i in range(len(true))], true, predicted, unknown, np.zeros(len(true), np.int64), 0)
    if scores.is_file():
        stream = read_stream("tested", scores)
        if len(stream.names) == len(true) and (stream.scores.argmax(axis=1) == predicted).all():
            classes = stream.scores.shape[1]
            rising = np.exp(stream.scores - stream.scores.max(axis=1, keepdims=True), dtype=np.float64)
            labels = np.clip(true, 0, classes - 1)[:, None]
            place = (np.argsort(stream.scores, axis=1, kind="stable") == labels).argmax(axis=1)
            return _checked(path, Predictions([str(name) for name in stream.names], true, predicted,
                                              rising.max(axis=1) / rising.sum(axis=1), classes - place, 0), classes)
    return _checked(path, found, 0)


def _checked(path: Path, found: Predictions, classes: int) -> Predictions:
    """Return `found` with the number of its classes."""
    if not len(found.true):
        raise UserError(f"{path}: holds no sample; test again, or delete it")
    named = np.concatenate([found.true[found.true != NOT_KNOWN], found.predicted])
    low, high = int(named.min()), int(named.max())
    if low < 0 or high >= _MOST_CLASSES:
        raise UserError(f"{path}: class {low if low < 0 else high} is out of range; test again, or delete it")
    return Predictions(found.names, found.true, found.predicted, found.probability, found.rank,
                       max(classes, high + 1))


def _class_table(path: Path, best: dict[str, float | None]) -> NDArray[np.int64] | None:
    """Return the confusion matrix of the best epoch from its table; None without one."""
    file = path / f"epoch{int(best.get('epoch') or 1)}_test_each_class_acc.csv"
    if not file.is_file():
        return None
    try:
        rows = [line.split(",") for line in file.read_text().split()][1:]
        counts = np.array(rows, np.float64).astype(np.int64)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: not a table of recalls and a confusion matrix ({error}); delete it") from None
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise UserError(f"{file}: {counts.shape} counts are no confusion matrix; delete the file")
    return counts


def read_saved_config(path: Path) -> tuple[dict[str, Any], str]:
    """Return the settings of a config file, and the command line from its first comment, "" without one.

    Raises:
        UserError: it cannot be read, or is no mapping.
    """
    settings = read_mapping(path)
    with open(path, encoding="utf-8") as file:
        first = file.readline(_LONGEST_COMMAND).rstrip("\n")
    return settings, first.removeprefix("# command line: ") if first.startswith("# command line: ") else ""
