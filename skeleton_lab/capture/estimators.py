"""What an estimator of poses is, and which there are: each is a module of its own, loaded when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from skeleton_lab.errors import UserError

# Name -> the module with its `open_estimator`, and the package that it needs.
KNOWN = {
    "mediapipe": ("skeleton_lab.capture.mediapipe_pose", "mediapipe"),
    "rtmlib": ("skeleton_lab.capture.rtmlib_pose", "rtmlib"),
}
HOW_TO_GET = {
    "mediapipe": "make pose makes an environment that has it: .venv-pose/bin/python extract_poses.py ...",
    "rtmlib": "after make pose: .venv-pose/bin/pip install onnxruntime; .venv-pose/bin/pip install --no-deps rtmlib",
}


@dataclass(frozen=True)
class Settings:
    """estimator: one of `KNOWN`, or the dotted path of a module with an `open_estimator`. model: its network's file.
    people: how many to look for at most.
    """

    estimator: str = "mediapipe"
    model: str | None = None
    people: int = 1


@dataclass(frozen=True, eq=False)
class Estimate:
    """The people of one picture, in any order.

    picture: (P, V, 3) float: x and y in pixels, y down, and the confidence of each joint, 0 where it was not seen.
    space: (P, V, 3) float metres, y down, or None: where the estimator tells it.
    """

    picture: np.ndarray
    space: np.ndarray | None = None


class Estimator(Protocol):
    """Looks at the frames of one video, in their order.

    joints: the set of joints, by its name in `own_skeletons.JOINT_SETS`. version: of the package, to be recorded.
    """

    joints: str
    version: str

    def see(self, picture: np.ndarray, time_ms: int) -> Estimate:
        """Return who is in a picture (H, W, 3) uint8, RGB; `time_ms` grows from frame to frame."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


@contextmanager
def estimator(settings: Settings) -> Iterator[Estimator]:
    """Open an estimator for the block.

    Raises:
        UserError: it is not installed, or its network cannot be had.
    """
    module, package = KNOWN.get(settings.estimator, (settings.estimator, None))
    if package and importlib.util.find_spec(package) is None:
        raise UserError(f"--estimator {settings.estimator}: {package} is not installed for {sys.executable}; "
                        f"{HOW_TO_GET[settings.estimator]}")
    if settings.model and not Path(settings.model).is_file():
        raise UserError(f"{settings.model}: no such file; check --model")
    try:
        opened = importlib.import_module(module).open_estimator(settings)
    except (ModuleNotFoundError, AttributeError) as error:
        if package:
            raise UserError(f"--estimator {settings.estimator}: {package} cannot be loaded ({error}); "
                            f"{HOW_TO_GET[settings.estimator]}") from error
        raise UserError(f"--estimator {settings.estimator}: {error}; choose {', '.join(KNOWN)}, or a module with an "
                        "open_estimator (skeleton_lab/capture/estimators.py)") from error
    try:
        yield opened
    finally:
        opened.close()


def hush_libraries() -> None:
    """Let what native libraries write to standard error go nowhere; Python's own stream keeps its place."""
    ours = os.dup(sys.stderr.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = open(ours, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
