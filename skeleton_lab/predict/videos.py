"""Videos and cameras on their way to a model: extract_poses.py reads them, in the environment that has an estimator."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.children import Child, child
from skeleton_lab.data.formats.face import Look, Wanted
from skeleton_lab.data.formats.lookalikes import describe
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import JOINT_SETS
from skeleton_lab.predict.live import Arrival
from skeleton_lab.predict.recordings import as_trained

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "extract_poses.py"
POSE_PYTHON = ROOT / ".venv-pose" / "bin" / "python"


@dataclass(frozen=True)
class Extraction:
    """Which Python runs the extraction (None: that of `make pose`), and what it is told: see extract_poses.py."""

    python: Path | None = None
    estimator: str = "mediapipe"
    model: Path | None = None
    people: int = 1

    def command(self, *words: str | Path) -> list[str]:
        """Return the command with these options.

        Raises:
            UserError: there is no such Python.
        """
        python = self.python or POSE_PYTHON
        if not python.exists():
            raise UserError(f"{python}: no such Python; make pose makes an environment that finds people in videos, or "
                            "give one that has an estimator with --pose-python")
        options = ["--estimator", self.estimator, "--people", str(self.people)]
        if self.model is not None:
            options += ["--model", str(self.model.absolute())]
        return [str(python), str(SCRIPT), *map(str, words), *options]


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its first bytes."""
    return path.is_file() and describe(Look(path)).startswith("a video")


@dataclass(frozen=True, eq=False)
class Filmed:
    """The people of a video: `recording` as the model takes them, `drawn` as they are in the picture."""

    video: Path
    recording: Recording
    drawn: Recording


def open_filmed(path: Path, wanted: Wanted, extraction: Extraction) -> Filmed:
    """Find the people of a video; on a terminal a progress bar goes along.

    Raises:
        UserError: nobody is in it, it is damaged, or there is no estimator.
    """
    shown = sys.stderr.isatty()
    with tempfile.TemporaryDirectory(prefix="skeleton-lab-") as folder:
        output = Path(folder, "people.npz")
        command = extraction.command("--video", path.absolute(), "--output", output)
        with child(command, stdout=subprocess.PIPE, stderr=None if shown else subprocess.PIPE) as process:
            errors = process.communicate()[1]
        if process.returncode and shown:
            sys.exit(process.returncode)  # it has said why
        if process.returncode:
            raise UserError(_reason(errors, process.returncode))
        recordings = (open_recordings(output, which)[0] for which in (as_trained(wanted), wanted))
        return Filmed(path, *(replace(recording, name=str(path)) for recording in recordings))


def _reason(errors: str, status: int) -> str:
    lines = errors.strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"extract_poses.py ended with status {status}"


class EstimatorStream:
    """A camera, or a video at its own pace, through the estimator: a `live.Source`.

    Args:
        process: extract_poses.py, its first line read. template: what that line says.
    """

    def __init__(self, process: Child, template: Recording) -> None:
        self.template, self._process = template, process
        self._stopped = False

    def run(self, push: Callable[[Arrival], None]) -> None:
        """See `live.Source`."""
        assert self._process.stdout is not None
        with suppress(ValueError):  # closed, since it is to stop
            for line in self._process.stdout:
                push(_arrival(json.loads(line)))
        if self._process.wait() and not self._stopped:
            raise UserError(_errors_of(self._process))

    def stop(self) -> None:
        """See `live.Source`."""
        self._stopped = True
        self._process.terminate()


@contextmanager
def estimator_stream(source: str, extraction: Extraction, in_space: bool) -> Iterator[EstimatorStream]:
    """Start the estimator for the block on a camera (its number) or a video (a file).

    Args:
        in_space: take joints in space, if the estimator tells them.

    Raises:
        UserError: there is no such camera or video, or no estimator.
    """
    command = extraction.command("--camera", source, *(["--space"] if in_space else []))
    with child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        head = process.stdout.readline()
        if not head:
            process.wait()
            raise UserError(_errors_of(process))
        yield EstimatorStream(process, _template(source, json.loads(head)))


def _errors_of(process: Child) -> str:
    assert process.stderr is not None
    return _reason(process.stderr.read(), process.returncode)


def _template(source: str, head: dict[str, Any]) -> Recording:
    skeleton = JOINT_SETS[head["joints"]]
    frames = np.zeros((1, 1, skeleton.num_joints, 3 if head["space"] else 2), np.float32)
    name = f"camera {source}" if source.isdecimal() else source
    return Recording(name, frames, skeleton, frames[..., 0], fps=float(head["fps"]), y_down=True,
                     image_size=None if head["space"] else tuple(head["image_size"]),
                     unit=Unit.METRES if head["space"] else Unit.PIXELS, from_poses=True)


def _arrival(line: dict[str, Any]) -> Arrival:
    people = {int(person): np.array(pose) for person, pose in line["people"].items()}
    return Arrival(line["number"], line["captured_s"], people)
