"""What a run records of itself: `run.json`, with machine, speed and memory, and at its end `report.html`.

None of it is needed to go on with a run or to use its results, so that none of it may make a run fail: what cannot be
written is one line of warning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

import torch

from skeleton_lab.errors import UserError
from skeleton_lab.files import write_text
from skeleton_lab.machine import MIB, describe_machine, peak_resident_bytes
from skeleton_lab.train.config import default_settings
from skeleton_lab.train.setup import Setup
from skeleton_lab.train.words import Words
from skeleton_lab.train.workdir import RECORD, REPORT, WorkDir, read_record


class Record:
    """The file `run.json` of a work directory; of several processes the first one keeps it, the others do nothing.

    Its content: `tree` (folder); `skeleton` (dotted path, or name) and `class_names` (list), null where nobody knows,
    by which reports and predictions call joints and classes; `train` and `test`, each with when, where and how it ran
    (`started`, `finished`, `machine`, `device`, `precision`, `processes`, `parameters`); `train` also with a row per
    epoch in `epochs` (`train_s`, `test_s`: wall-clock seconds; `peak_mib`: on a GPU the most that PyTorch had allocated
    in the epoch, on the CPU the most that the process had resident so far), and with `changes` of data or code that
    were accepted when it was resumed (`epoch`, `kind`, `what`); `test` with `weights`, `clips`, `test_s`,
    `clips_per_s`, `peak_mib`; `predictions`: which weights predictions.csv is of.
    """

    def __init__(self, setup: Setup, phase: str, words: Words, resumed: bool = False) -> None:
        """Begin a `phase`, "train" or "test", or go on with a training; `words`: of its data."""
        self._setup, self._phase = setup, phase
        self._path = setup.work_dir.path / RECORD
        content = read_record(setup.work_dir.path) if setup.world.is_main else {}
        before = content.get(phase) if resumed else None
        before = before if isinstance(before, dict) else {}
        self._part: dict[str, Any] = {
            "started": before.get("started", _now()), "finished": None,
            "resumptions": _number(before.get("resumptions")) + resumed, "machine": describe_machine(setup.device),
            "device": str(setup.device), "processes": setup.world.size, "parameters": setup.parameters,
            "precision": str(setup.precision.dtype or torch.float32).removeprefix("torch."),
            "epochs": _rows(before.get("epochs"))}
        known = {key: content.get(key) if value is None else value for key, value in words.recorded().items()}
        self._content = {**content, "tree": str(setup.spec.root), **known, phase: self._part}
        self._reset_peak()

    def changed(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Set which changes of data and code were accepted so far."""
        if changes:
            self._part["changes"] = list(changes)

    def trained(self, epoch: int, seconds: float) -> None:
        """Add the seconds spent in training on (a part of) an epoch, counted from 1."""
        row = self._row(epoch)
        row["train_s"] = round(_number(row.get("train_s")) + seconds, 3)
        row["peak_mib"] = max(_number(row.get("peak_mib")), self._peak_mib())
        self._reset_peak()

    def evaluated(self, epoch: int, seconds: float) -> None:
        """Set the seconds that an epoch's evaluation took."""
        self._row(epoch)["test_s"] = round(seconds, 3)

    def tested(self, weights: str, clips: int, seconds: float) -> None:
        """Set what a test of its own took."""
        self._part |= {"weights": weights, "clips": clips, "test_s": round(seconds, 3),
                       "clips_per_s": round(clips / seconds, 3), "peak_mib": self._peak_mib()}
        del self._part["epochs"]
        self.predicted(weights)

    def predicted(self, weights: str, epoch: int | None = None) -> None:
        """Set which weights predictions.csv is of, and after which epoch (from 1) of a training."""
        self._content["predictions"] = {"phase": self._phase, "weights": weights, "epoch": epoch}

    def save(self, finished: bool = False) -> None:
        """Write the file."""
        if not self._setup.world.is_main:
            return
        self._part["finished"] = _now() if finished else None
        with best_effort(self._setup.work_dir, RECORD):
            write_text(self._path, json.dumps(self._content, indent=1, default=str) + "\n")

    def _row(self, epoch: int) -> dict[str, Any]:
        """Return the row of an epoch; those of later ones, of an earlier run that lost them, are dropped."""
        rows = self._part["epochs"] = [row for row in self._part["epochs"] if row["epoch"] <= epoch]
        if not rows or rows[-1]["epoch"] != epoch:
            rows.append({"epoch": epoch})
        return rows[-1]

    def _peak_mib(self) -> int:
        device = self._setup.device
        return (torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_resident_bytes()) // MIB

    def _reset_peak(self) -> None:
        if self._setup.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._setup.device)


@contextmanager
def best_effort(work_dir: WorkDir, name: str) -> Iterator[None]:
    """Turn any error within the block into one line of warning about the file `name`."""
    try:
        yield
    except Exception as error:  # whatever it is, the run's own results are whole
        reason = " ".join(str(error).split()) or type(error).__name__
        with suppress(UserError):
            work_dir.log(f"warning: {name} could not be written ({reason[:300]}); nothing else is affected")


def write_run_report(setup: Setup, feeder: Any) -> None:
    """Write `report.html` of the work directory; `feeder` is that of the clips in predictions.csv."""
    if not setup.world.is_main:
        return
    with best_effort(setup.work_dir, REPORT):
        setup.services.write_report(setup.work_dir.path, default_settings(setup.spec), feeder)


def _rows(epochs: Any) -> list[dict[str, Any]]:
    """Return the rows of a recorded list of epochs, which somebody may have edited."""
    rows = epochs if isinstance(epochs, list) else []
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("epoch"), int)]


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else 0


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
