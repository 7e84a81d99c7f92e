"""The report of one run: `report.html` in its work directory, a single file to read, print or send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.class_names import filled, usual_class_names
from skeleton_lab.errors import UserError
from skeleton_lab.files import write_text
from skeleton_lab.metrics import class_accuracy
from skeleton_lab.report.charts import Series, confusion_chart, line_chart
from skeleton_lab.report.confusions import Confusion, confusion_cards, why_not_pictured, worst_confusions
from skeleton_lab.report.page import Element, element, section, table, tiles, write_page
from skeleton_lab.report.recipe import settings_of
from skeleton_lab.report.results import Run, read_run, read_saved_config
from skeleton_lab.skeletons import NTU_25, UCLA_20
from skeleton_lab.train.words import CLASS_NAMES, names_in
from skeleton_lab.train.workdir import REPORT

_MOST = 1e15  # of anything recorded; what is above is not a number, or damaged
_MOST_EPOCH_ROWS = 1_000  # of the table of epochs
_LEAST_RATE = 1e-12  # learning rates below are not drawn on a logarithmic axis


def write_report(work_dir: str | Path, defaults: Mapping[str, Any], feeder: Any = None,
                 names: Sequence[str] | None = None, why_no_clips: str = "") -> Path:
    """Write the report of a work directory into it; return its path.

    Clips of which there can be no picture (no feeder, other data by now) leave a line that says why.

    Args:
        defaults: the tree's settings where nothing else is said; {} where they are not known.
        feeder: of the tested clips; one that has `recorded(index) -> SkeletonClip` gives the pictures.
        names: of the classes; by default as the data set suggests.
        why_no_clips: what the report says where there is no feeder.

    Raises:
        UserError: the folder holds no run, a file in it is damaged, or the report cannot be written.
    """
    run = read_run(work_dir)
    names = class_names_of(run, names)
    pairs = worst_confusions(run.predictions) if run.predictions else []
    why_no_clips = why_no_clips or why_not_pictured(run.predictions, feeder)
    parts = [
        *_head(run),
        *_curves(run),
        *_evaluation(run, names, pairs, feeder, why_no_clips),
        _recipe(run, defaults),
        _machine(run),
        element("footer", f"Written on {datetime.now().astimezone():%Y-%m-%d %H:%M %Z} from the files in "
                f"{run.path.resolve()}."),
    ]
    path = run.path / REPORT
    write_text(path, write_page(f"{run.path.resolve().name}: run report", parts))
    return path


def class_names_of(run: Run, names: Sequence[str] | None) -> list[str]:
    """Return a name for each class of the confusion matrix; [] without one.

    Raises:
        UserError: there are fewer `names` than classes.
    """
    if run.counts is None:
        return []
    classes = len(run.counts)
    if names is None:
        return list(filled(_recorded_names(run), classes))
    if len(names) < len(run.counts):
        raise UserError(f"{run.path}: {len(names)} class names for {len(run.counts)} classes; give a name for each")
    return [str(name) for name in names]


def _recorded_names(run: Run) -> tuple[str, ...] | None:
    """Return the names that a run recorded; of older runs, those of the published data set whose classes it tested."""
    if CLASS_NAMES in run.record:
        return names_in(run.record)
    options = run.settings.get("model_args")
    joints = options.get("num_point") if isinstance(options, dict) else None
    skeleton = {25: NTU_25, 20: UCLA_20}.get(joints) if isinstance(joints, int) else None
    tested = 0 if run.counts is None else int((run.counts.sum(axis=1) > 0).sum())
    return usual_class_names(tested, skeleton)


# -- head ------------------------------------------------------------------------------------------------------


def _head(run: Run) -> list[Element]:
    settings = run.settings
    said = [str(settings.get("model")), str(settings.get("feeder"))]
    when = run.part("train").get("finished") or run.part("test").get("finished")
    if isinstance(when, str):
        said.append(when.replace("T", " ").replace("+00:00", " UTC"))
    return [element("h1", run.path.resolve().name), element("p", " · ".join(said), class_="soft"), tiles(_figures(run))]


def _figures(run: Run) -> list[tuple[str, str]]:
    """Return what one wants to know first."""
    figures = []
    if run.last and run.best:
        figures += [(f"top-1, last epoch ({run.last['epoch']:.0f})", _percent(run.last["test_top1"])),
                    (f"top-1, best epoch ({run.best['epoch']:.0f})", _percent(run.best["test_top1"]))]
    predictions, counts = run.predictions, run.counts
    if counts is not None and not run.last:
        figures.append(("top-1", _percent(np.trace(counts) / counts.sum())))
    top5 = predictions.top_k(5) if predictions else run.best.get("test_top5")
    if top5 is not None:
        figures.append(("top-5" if not run.best else "top-5, best epoch", _percent(top5)))
    if counts is not None:
        figures.append(("mean class recall", _percent(class_accuracy(counts)[counts.sum(axis=1) > 0].mean())))
    speed = clips_per_s(run)
    if speed is not None:
        figures.append(("clips/s, " + ("training" if run.history else "test"), f"{speed:.4g}"))
    peak = peak_mib(run)
    if peak is not None:
        figures.append(("peak memory", f"{peak:,.0f} MiB"))
    seconds = epoch_s(run)
    if seconds is not None:
        figures.append(("training per epoch", duration(seconds)))
    return figures


def clips_per_s(run: Run) -> float | None:
    """Return the median speed of the epochs of training, or that of the test; None where it is not known."""
    speeds = [speed for row in run.history if (speed := row.get("clips_per_s"))]
    return float(np.median(speeds)) if speeds else _number(run.part("test").get("clips_per_s"))


def peak_mib(run: Run) -> float | None:
    """Return the most memory of any epoch of training, or that of the test; None where it is not known."""
    peaks = [_number(row.get("peak_mib")) for row in epochs_of(run)]
    return max([peak for peak in peaks if peak is not None], default=_number(run.part("test").get("peak_mib")))


def epoch_s(run: Run) -> float | None:
    """Return the median seconds of training of an epoch, without its evaluation; None where it is not known."""
    seconds = [_number(row.get("train_s")) for row in epochs_of(run)]
    known = [value for value in seconds if value is not None]
    return float(np.median(known)) if known else None


def total_s(run: Run) -> float | None:
    """Return the seconds of all epochs, evaluations included; None where they are not known."""
    rows = epochs_of(run)
    return sum((_number(row.get("train_s")) or 0) + (_number(row.get("test_s")) or 0) for row in rows) if rows else None


def epochs_of(run: Run) -> list[dict[str, Any]]:
    """Return the recorded rows of the epochs: `epoch`, `train_s`, `test_s`, `peak_mib`."""
    rows = run.part("train").get("epochs")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


# -- curves ----------------------------------------------------------------------------------------------------


def _curves(run: Run) -> list[Element]:
    if not run.history:
        return []

    def points(column: str, scale: float = 1) -> list[tuple[float, float]]:
        return [(row["epoch"] or 0, value * scale) for row in run.history
                if (value := row.get(column)) is not None and np.isfinite(value)]

    rates = points("learning_rate")
    positive = all(rate > _LEAST_RATE for _, rate in rates)
    accuracies = [Series("training, top-1", points("train_top1", 100)), Series("test, top-1", points("test_top1", 100)),
                  Series("validation, top-1", points("val_top1", 100)),
                  Series("test, top-5", points("test_top5", 100))]
    charts = [
        line_chart("Accuracy", accuracies, percent=True),
        line_chart("Loss (mean cross-entropy)", [Series("training", points("train_loss")),
                                                 Series("test", points("test_loss"))]),
        line_chart("Learning rate", [Series("learning rate", rates)], logarithmic=positive and bool(rates)),
        line_chart("Speed of training (clips/s)", [Series("clips/s", points("clips_per_s"))]),
    ]
    note = ("The best epoch is picked on validation clips; the test split had no part in that."
            if run.has_validation else
            "The best epoch is picked on the test split, as published results do; the last epoch's accuracy is free of "
            "that choice.")
    return [section("Curves", element("div", *(element("figure", chart) for chart in charts), class_="columns"),
                    element("details", element("summary", "Every epoch in figures"), _epoch_table(run)), note=note)]


def _epoch_table(run: Run) -> Element:
    recorded = {row.get("epoch"): row for row in epochs_of(run)}
    head = ("epoch", "learning rate", "training loss", "training top-1", "test loss", "test top-1", "test top-5",
            "clips/s", "training", "test", "peak MiB")
    rows = []
    every = -(-len(run.history) // _MOST_EPOCH_ROWS)
    always = (run.best, run.history[-1])
    shown = [row for place, row in enumerate(run.history) if place % every == 0 or any(row is one for one in always)]
    for row in shown:
        own = recorded.get(int(row["epoch"] or 0), {})
        rows.append([f"{row['epoch']:.0f}", _text(row.get("learning_rate"), "{:.4g}"),
                     _text(row.get("train_loss"), "{:.4f}"), _percent(row.get("train_top1")),
                     _text(row.get("test_loss"), "{:.4f}"), _percent(row.get("test_top1")),
                     _percent(row.get("test_top5")), _text(row.get("clips_per_s"), "{:.4g}"),
                     duration(_number(own.get("train_s"))), duration(_number(own.get("test_s"))),
                     _text(_number(own.get("peak_mib")), "{:,.0f}")])
    note = f"{len(shown):,} of {len(run.history):,} epochs; history.csv has all."
    left_out = element("p", note, class_="soft small") if every > 1 else None
    return element("div", left_out, table(head, rows, numbers=range(len(head)), kind="wide"))


# -- what the model gets right and wrong -----------------------------------------------------------------------


def _evaluation(run: Run, names: list[str], pairs: list[Confusion], feeder: Any, why_no_clips: str) -> list[Element]:
    counts = run.counts
    if counts is None:
        note = "No evaluation in this folder yet: it comes with the first epoch that is tested."
        return [section("Classes", note=note)]
    chart = confusion_chart(counts, names)
    note = (f"{counts.sum():,} clips of the test split, weights: {_weights(run)}. A row is a true class, a column what "
            "the model said; point at a cell for its figures.")
    return [
        section("Confusion matrix", element("figure", chart, class_="matrix"), note=note),
        section("Worst confusions", *confusion_cards(pairs, names, feeder, why_no_clips),
                note="The pairs of classes with the most mistakes: the clip that the model got wrong with the most "
                     "confidence, beside one of the class that it took it for. Left limbs are blue, right ones red; "
                     "each frame is centred on the people in it."),
        section("Classes", class_table(counts, names), note="Recall: of the clips of this class, how many the model "
                "recognised. Precision: of the clips it gave this class, how many are of it. Click a head to sort."),
    ]


def class_table(counts: NDArray[np.int64], names: Sequence[str]) -> Element:
    """Return the sortable table of recall, precision and support."""
    support, given = counts.sum(axis=1), counts.sum(axis=0)
    rows: list[list[Element | str | None]] = []
    for label in np.flatnonzero((support > 0) | (given > 0)).tolist():
        hits = int(counts[label, label])
        others = counts[label].copy()
        others[label] = 0
        mistaken = f"{names[int(others.argmax())]} ({others.max()})" if others.any() else ""
        rows.append([str(label), names[label], _bar(hits, int(support[label])), _share(hits, int(given[label])),
                     f"{support[label]}", mistaken])
    head = ("class", "name", "recall", "precision", "clips", "most often taken for")
    return table(head, rows, numbers=(0, 2, 3, 4), kind="wide sortable")


def _bar(hits: int, total: int) -> Element:
    """Return a cell with a share as a bar and in figures."""
    share = hits / total if total else 0.0
    bar = element("span", element("span", class_="bar", style=f"width: {100 * share:.1f}%"), class_="track")
    said = element("span", _percent(share) if total else "–", class_="share")
    return element("td", bar, said, class_="number", data_value=f"{share:.6f}")


def _share(part: int, total: int) -> Element:
    return element("td", _percent(part / total) if total else "–", class_="number",
                   data_value=f"{part / total if total else -1:.6f}")


def _weights(run: Run) -> str:
    said = run.record.get("predictions")
    if isinstance(said, dict) and said.get("weights"):
        return f"{said['weights']}" + (f" (epoch {said['epoch']})" if said.get("epoch") else "")
    return f"of the best epoch ({run.best['epoch']:.0f})" if run.best else str(run.settings.get("weights"))


# -- recipe and machine ----------------------------------------------------------------------------------------


def _recipe(run: Run, defaults: Mapping[str, Any]) -> Element:
    rows = settings_of(run.settings, defaults, _config_file(run))
    changed = [(row.name, row.value, row.default, row.said_by) for row in rows if row.differs]
    kept = [(row.name, row.value) for row in rows if not row.differs]
    command = element("code", f"python3 {run.command}", class_="command") if run.command else None
    if not defaults:
        return section("Recipe", command, table(("setting", "value"), kept, kind="settings"),
                       note="The tree that this run belongs to was not found, so its defaults are not known.")
    return section("Recipe", command, element("h3", f"Differs from the tree's defaults ({len(changed)})"),
                   table(("setting", "this run", "default", "said by"), changed, kind="wide settings"),
                   element("details", element("summary", f"As the defaults are ({len(kept)})"),
                           table(("setting", "value"), kept, kind="settings")))


def _config_file(run: Run) -> dict[str, Any] | None:
    """Return the content of the file that was the run's --config, if it is still there."""
    named, tree = run.settings.get("config"), run.record.get("tree")
    if not named:
        return {}
    for folder in (Path(), Path(str(tree))) if tree else (Path(),):
        with suppress(UserError):
            return read_saved_config(folder / str(named))[0]
    return None


def _machine(run: Run) -> Element:
    rows = []
    for phase, title in (("train", "training"), ("test", "test")):
        part = run.part(phase)
        machine = part.get("machine")
        if not isinstance(machine, dict):
            continue
        gpu = machine.get("gpu")
        rows += [
            (f"{title} ran on", f"{gpu}, {_text(_number(machine.get('gpu_memory_mib')), '{:,.0f}')} MiB" if gpu else
             "the CPU"),
            ("processor", f"{machine.get('cpu')}, {machine.get('cores')} cores to use, "
                          f"{_text(_number(machine.get('memory_mib')), '{:,.0f}')} MiB of memory"),
            ("software", f"PyTorch {machine.get('torch')}, CUDA {machine.get('cuda') or 'none'}, Python "
                         f"{machine.get('python')}, NumPy {machine.get('numpy')}"),
            ("system", str(machine.get("os"))),
            ("number format", str(part.get("precision"))), ("processes", str(part.get("processes"))),
            ("trainable parameters", _text(_number(part.get("parameters")), "{:,.0f}")),
        ]
        if phase == "train":
            rows += [("all epochs together", duration(total_s(run))), ("resumed", f"{part.get('resumptions')} times")]
            rows += [(f"other {change.get('kind')} from epoch {change.get('epoch')}", str(change.get("what")))
                     for change in _changes(part)]
        else:
            rows += [("weights", str(part.get("weights"))),
                     ("test took", f"{duration(_number(part.get('test_s')))} for {part.get('clips')} clips")]
    note = ("Peak memory: on a GPU what PyTorch had allocated, on the CPU what the process had resident." if rows else
            "This run kept no record of its machine, memory and times (run.json): it was made by an older version, or "
            "is not finished.")
    return section("Machine, speed and memory", table(("", ""), rows, kind="settings") if rows else None, note=note)


def _changes(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what was accepted of changed data and code as a training was resumed."""
    changes = part.get("changes")
    return [change for change in changes if isinstance(change, dict)] if isinstance(changes, list) else []


# -- words -----------------------------------------------------------------------------------------------------


def duration(seconds: float | None) -> str:
    """Return seconds as a person says them; "" for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _text(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST
    return value if known else None
