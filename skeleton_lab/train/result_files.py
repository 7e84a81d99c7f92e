"""What a run leaves for people: tables as CSV, pictures as PNG, sample lists, score pickles."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.class_names import short
from skeleton_lab.files import replacing, write_text
from skeleton_lab.metrics import NOT_KNOWN
from skeleton_lab.pickles import dump_plain_pickle

HISTORY_COLUMNS = ("epoch", "learning_rate", "train_loss", "train_top1", "test_loss", "test_top1", "test_top5",
                   "clips_per_s")
VALIDATION_COLUMNS = ("val_loss", "val_top1")  # of runs that have validation clips
PREDICTION_COLUMNS = ("sample", "true", "predicted", "probability", "rank")
_MOST_NUMBERED_CLASSES = 20  # a confusion matrix of more classes shows colours only


def write_scores(path: Path, names: Sequence[str], scores: NDArray[np.float32]) -> None:
    """Write the score pickle: sample name -> (classes,) float32 logits, in the order of the data set."""
    dump_plain_pickle(path, dict(zip(names, scores, strict=True)))


def write_class_table(path: Path, recalls: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
    """Write a CSV: first row the recall of each class, then the confusion matrix (row: true class)."""
    _write_csv(path, [recalls.tolist(), *counts.tolist()])


def write_sample_lists(right: Path, wrong: Path, predicted: NDArray[np.integer], labels: NDArray[np.integer]) -> None:
    """Write upstream's two lists of a test.

    `right` holds `predicted,true` of every sample, in order (upstream's name for it, kept for its
    tools), true -1 where it is not known; `wrong` holds `index,predicted,true` of the samples that were misclassified.
    """
    _write_csv(right, zip(predicted.tolist(), labels.tolist(), strict=True))
    missed = np.flatnonzero((predicted != labels) & (labels != NOT_KNOWN))
    _write_csv(wrong, ((int(i), int(predicted[i]), int(labels[i])) for i in missed))


def write_predictions(path: Path, names: Sequence[str], scores: NDArray[np.float32],
                      labels: NDArray[np.integer]) -> None:
    """Write a CSV with a row for each clip of a test, in order.

    Columns: `sample`, its name; `true` and `predicted` class; `probability` of the predicted one, by softmax; `rank` of
    the true class among the scores, from 1. `true` and `rank` are empty where the class is not known.
    """
    predicted = scores.argmax(axis=1)
    rising = np.exp(scores - scores.max(axis=1, keepdims=True), dtype=np.float64)
    probability = rising.max(axis=1) / rising.sum(axis=1)
    place = (np.argsort(scores, axis=1, kind="stable") == labels[:, None]).argmax(axis=1)  # as top_k_accuracy has it
    true, rank = ([value if label != NOT_KNOWN else "" for value, label in zip(values.tolist(), labels, strict=True)]
                  for values in (labels, scores.shape[1] - place))
    rows = zip(names, true, predicted.tolist(), [f"{p:.4f}" for p in probability], rank, strict=True)
    _write_csv(path, [PREDICTION_COLUMNS, *rows])


def write_batch(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write a batch of training as `.npz`, for replay: `numpy.load(path)["data"]` is what the model was given."""
    contents: dict[str, Any] = arrays  # numpy's own options share the keywords
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, **contents)


def write_history(path: Path, history: Sequence[dict[str, Any]]) -> None:
    """Write one row per epoch; figures that an epoch has not are left empty."""
    columns = HISTORY_COLUMNS + tuple(column for column in VALIDATION_COLUMNS if any(column in row for row in history))
    _write_csv(path, [columns, *([_short(epoch.get(column)) for column in columns] for epoch in history)])


def draw_history(path: Path, history: Sequence[dict[str, Any]], title: str) -> None:
    """Draw loss and top-1 accuracy of training and test over the epochs."""
    figure, (loss_axes, accuracy_axes) = _figure(columns=2, width=11, height=4)
    epochs = [epoch["epoch"] for epoch in history]
    parts = ("train", "val", "test")
    for axes, quantity, scale in ((loss_axes, "loss", 1.0), (accuracy_axes, "top1", 100.0)):
        draw_over_epochs(axes, {part: [(e, row[f"{part}_{quantity}"] * scale)
                                       for e, row in zip(epochs, history, strict=True)
                                       if row.get(f"{part}_{quantity}") is not None] for part in parts},
                         percent=scale != 1)
    loss_axes.set_ylabel("mean cross-entropy loss")
    accuracy_axes.set_ylabel("top-1 accuracy (%)")
    _save(figure, path, title)


def draw_over_epochs(axes: Any, curves: Mapping[str, Sequence[tuple[float, float]]], percent: bool,
                     legend_size: int | None = None) -> None:
    """Draw curves, label -> points (epoch, value), in a figure's axes; those without points are left out.

    `percent`: the axis reaches from 0 to 100 whatever the values are, so that pictures of runs compare.
    """
    for label, points in curves.items():
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label, clip_on=not percent)
    if percent:
        axes.set_ylim(0, 100)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if axes.lines:
        axes.legend(fontsize=legend_size)


def draw_confusion(path: Path, counts: NDArray[np.int64], title: str, names: Sequence[str] | None = None) -> None:
    """Draw a confusion matrix, each row as shares of its true class in per cent; `names`: of the classes, if known."""
    used = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    if len(used) <= _MOST_NUMBERED_CLASSES < len(counts):  # a model may have more outputs than its data have classes
        names = [str(label) if names is None else names[label] for label in used.tolist()]
        counts = counts[np.ix_(used, used)]
    classes = len(counts)
    side = 5 + classes * 0.12
    figure, (axes,) = _figure(columns=1, width=side + 1, height=side)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, vmin=0, vmax=100, cmap="Blues")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if classes <= _MOST_NUMBERED_CLASSES:
        labels = [str(label) for label in range(classes)] if names is None else [short(name) for name in names]
        axes.set_xticks(range(classes), labels, rotation=0 if names is None else 60, ha="center" if names is None else
                        "right", rotation_mode="anchor")
        axes.set_yticks(range(classes), labels)
        for row, column in np.argwhere(counts):
            axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", fontsize=8,
                      color="white" if shares[row, column] > 60 else "black")
    figure.colorbar(image, ax=axes, label="share of the true class (%)", fraction=0.046)
    _save(figure, path, title)


def _figure(columns: int, width: float, height: float) -> tuple[Any, Any]:
    """Return a figure that needs no screen, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _save(figure: Any, path: Path, title: str) -> None:
    figure.suptitle(title)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def _short(value: Any) -> Any:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value
