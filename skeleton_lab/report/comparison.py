"""Several runs side by side: a table, curves over each other, and what each class gains; a page, a picture, a CSV."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.errors import UserError
from skeleton_lab.files import replacing, write_text
from skeleton_lab.metrics import class_accuracy
from skeleton_lab.report.charts import Series, line_chart
from skeleton_lab.report.page import Element, element, section, table, write_page
from skeleton_lab.report.recipe import differences
from skeleton_lab.report.results import Run
from skeleton_lab.report.run_report import class_names_of, clips_per_s, duration, epoch_s, peak_mib, total_s
from skeleton_lab.train.result_files import draw_over_epochs

PAGE, PICTURE, CLASSES = "comparison.html", "curves.png", "classes.csv"
_CURVES = (("Test accuracy, top-1", "test_top1", 100.0), ("Test loss", "test_loss", 1.0),
           ("Training accuracy, top-1", "train_top1", 100.0), ("Training loss", "train_loss", 1.0))


def labels_of(runs: Sequence[Run]) -> list[str]:
    """Return what to call each run: its folder's name, with as many folders above as it takes to tell them apart."""
    paths = [run.path.resolve() for run in runs]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        labels = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    raise UserError(f"{runs[0].path}: given twice; compare different runs")


def write_comparison(runs: Sequence[Run], folder: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Write the page, the picture and, where two runs or more were evaluated on the same clips, the table of classes.

    Returns their paths.

    Raises:
        UserError: a run is given twice, or a file cannot be written.
    """
    labels = labels_of(runs)
    recalls = _recalls(runs)
    known = [run for run in runs if run.counts is not None]
    called = class_names_of(known[0], names) if recalls is not None else []
    written = [folder / PAGE, folder / PICTURE]
    draw_curves(folder / PICTURE, runs, labels)
    if recalls is not None:
        write_text(folder / CLASSES, classes_csv(recalls, _support(known[0]), labels, called))
        written.append(folder / CLASSES)
    parts = [
        element("h1", f"{len(runs)} runs compared"),
        element("p", " · ".join(labels), class_="soft"),
        section("Results", *(element("p", line, class_="minus") for line in test_set_warnings(runs, labels)),
                figures_table(runs, labels), note="Differences are from the first run. The best epoch is "
                "picked on the test split, or on validation clips of the run; prefer the last one where that matters. "
                "Speed and time compare only where the machines were alike and idle."),
        _curves(runs, labels),
        _recipe(runs, labels),
        _classes(recalls, known, labels, called),
        element("footer", f"Written on {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}."),
    ]
    write_text(folder / PAGE, write_page(f"{len(runs)} runs compared", parts))
    return written


def figures(runs: Sequence[Run], labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the table of results as text, its head first: a run and its figures, a dash where one is not known."""
    head = ("run", "top-1 last", "top-1 best", "epoch", "top-5 best", "clips/s", "peak MiB", "an epoch", "all epochs")
    rows: list[tuple[str, ...]] = [head]
    for run, label in zip(runs, labels, strict=True):
        top5 = run.best.get("test_top5") or (run.predictions.top_k(5) if run.predictions else None)
        top1 = run.best.get("test_top1")
        if top1 is None and run.counts is not None:
            top1 = float(np.trace(run.counts) / run.counts.sum())
        rows.append((label, _form(run.last.get("test_top1"), lambda x: f"{100 * x:.2f} %"),
                     _form(top1, lambda x: f"{100 * x:.2f} %"),
                     _form(run.best.get("epoch"), lambda x: f"{x:.0f}"), _form(top5, lambda x: f"{100 * x:.2f} %"),
                     _form(clips_per_s(run), lambda x: f"{x:.4g}"), _form(peak_mib(run), lambda x: f"{x:,.0f}"),
                     duration(epoch_s(run)) or "–", duration(total_s(run)) or "–"))
    return rows


def test_set_warnings(runs: Sequence[Run], labels: Sequence[str]) -> list[str]:
    """Return a line for each run that was not, or may not have been, tested on the clips of the first one."""
    lines = []
    first, first_label = runs[0], labels[0]
    for run, label in zip(runs[1:], labels[1:], strict=True):
        files = [_test_file(each) for each in (first, run)]
        if _differ(first, run):
            sizes = [f"{int(_support(each).sum()):,} clips of {files[place] or 'an unknown file'}"
                     for place, each in enumerate((first, run))]
            lines.append(f"Not the same test set: {first_label} was tested on {sizes[0]}, {label} on {sizes[1]}; their "
                         "accuracies do not compare.")
        elif None not in files and files[0] != files[1]:
            lines.append(f"Perhaps not the same test set: {first_label} was tested on {files[0]}, {label} on "
                         f"{files[1]}; if these hold different clips, their accuracies do not compare.")
    return lines


def _differ(first: Run, second: Run) -> bool:
    """Whether what is known of two runs shows that they were tested on different clips."""
    if first.predictions and second.predictions:
        known = [dict(zip(run.predictions.names, run.predictions.true.tolist(), strict=True))
                 for run in (first, second) if run.predictions]
        numbered = any(name.isdecimal() for names in known for name in names)  # a list without names: order is all
        if not numbered:
            return known[0] != known[1]
    if first.counts is None or second.counts is None:
        return False
    return not np.array_equal(np.trim_zeros(_support(first), "b"), np.trim_zeros(_support(second), "b"))


def _test_file(run: Run) -> str | None:
    """Return the file of a run's test clips, or, where it has one of its own, of their labels, which streams share."""
    options = run.settings.get("test_feeder_args")
    options = options if isinstance(options, dict) else {}
    path = options.get("label_path") or options.get("data_path")
    return os.path.realpath(os.path.join(str(run.record.get("tree") or ""), str(path))) if path else None


def figures_table(runs: Sequence[Run], labels: Sequence[str]) -> Element:
    """Return the table of results for the page."""
    head, *rows = figures(runs, labels)
    first = runs[0].last.get("test_top1")
    cells: list[list[Element | str | None]] = []
    for run, row in zip(runs, rows, strict=True):
        last = run.last.get("test_top1")
        change = None if run is runs[0] or last is None or first is None else 100 * (last - first)
        cells.append([row[0], element("td", row[1], *_change(change), class_="number"), *row[2:]])
    return table(head, cells, numbers=range(1, len(head)), kind="wide")


def draw_curves(path: Path, runs: Sequence[Run], labels: Sequence[str]) -> None:
    """Draw the runs' curves over each other, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, column, scale) in zip(figure.subplots(2, 2).flat, _CURVES, strict=True):
        draw_over_epochs(axes, {label.replace("$", r"\$"): _points(run, column, scale)
                                for run, label in zip(runs, labels, strict=True)}, percent=scale != 1, legend_size=8)
        axes.set_title(title + (" (%)" if scale != 1 else ""))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def classes_csv(recalls: NDArray[np.float64], support: NDArray[np.int64], labels: Sequence[str],
                names: Sequence[str]) -> str:
    """Return the table of classes: the recall in each run, (runs, classes), and its difference from the first run."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("class", "name", "clips", *(f"recall {label}" for label in labels),
                   *(f"difference {label}" for label in labels[1:])))
    for label in np.flatnonzero(support).tolist():
        own = recalls[:, label]
        rows.writerow((label, names[label], support[label], *(_csv(value) for value in own),
                       *(_csv(value - own[0]) for value in own[1:])))
    return text.getvalue()


def _recalls(runs: Sequence[Run]) -> NDArray[np.float64] | None:
    """Return the recalls (runs, classes), NaN for a run without an evaluation; None if they cannot be compared."""
    known = [run.counts for run in runs if run.counts is not None]
    if len(known) < 2 or any(not np.array_equal(counts.sum(axis=1), known[0].sum(axis=1)) for counts in known):
        return None
    unknown = np.full(len(known[0]), np.nan)
    return np.stack([unknown if run.counts is None else class_accuracy(run.counts) for run in runs])


def _support(run: Run) -> NDArray[np.int64]:
    return np.zeros(0, np.int64) if run.counts is None else run.counts.sum(axis=1)


def _points(run: Run, column: str, scale: float) -> list[tuple[float, float]]:
    return [(row["epoch"] or 0, value * scale) for row in run.history
            if (value := row.get(column)) is not None and np.isfinite(value)]


def _curves(runs: Sequence[Run], labels: Sequence[str]) -> Element:
    charts = [line_chart(title, [Series(label, _points(run, column, scale))
                                 for run, label in zip(runs, labels, strict=True)], percent=scale != 1)
              for title, column, scale in _CURVES]
    return section("Curves", element("div", *(element("figure", chart) for chart in charts), class_="columns"))


def _recipe(runs: Sequence[Run], labels: Sequence[str]) -> Element:
    differing = differences([run.settings for run in runs])
    if not differing:
        return section("Recipe", note="The runs have the same settings.")
    return section("Recipe", table(("setting", *labels), [(name, *values) for name, values in differing.items()],
                                   kind="wide settings"), note="The settings that are not the same in all runs.")


def _classes(recalls: NDArray[np.float64] | None, known: Sequence[Run], labels: Sequence[str],
             names: Sequence[str]) -> Element:
    if recalls is None:
        return section("Classes", note="Nothing to compare: fewer than two runs have been evaluated, or not on the "
                                       "same test clips.")
    support = _support(known[0])
    head = ["class", "name", "clips", *labels]
    rows = []
    for label in np.flatnonzero(support).tolist():
        row: list[Element | str | None] = [str(label), names[label], str(support[label])]
        for place, value in enumerate(recalls[:, label]):
            change = 100 * (value - recalls[0, label]) if place and np.isfinite(value - recalls[0, label]) else None
            row.append(element("td", _form(None if np.isnan(value) else value, lambda x: f"{100 * x:.1f} %"),
                               *_change(change), class_="number", data_value=f"{np.nan_to_num(value, nan=-1):.6f}"))
        rows.append(row)
    return section("Classes", table(head, rows, numbers=[0, 2, *range(3, len(head))], kind="wide sortable"),
                   note="Recall of each class, and its difference from the first run in points. Click a head to sort.")


def _change(points: float | None) -> list[Element | str]:
    """Return a difference in points, green or red; nothing for None."""
    if points is None:
        return []
    kind = "plus" if points > 0 else "minus" if points < 0 else "soft"
    return [" ", element("span", f"({points:+.1f})", class_=kind)]


def _form(value: float | None, form: Callable[[float], str]) -> str:
    return "–" if value is None else form(value)


def _csv(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
