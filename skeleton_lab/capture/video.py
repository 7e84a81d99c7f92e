"""Videos, read by PyAV: size, frames a second, and the frames, upright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.errors import UserError

USUAL_FPS = 30.0
# Files that may be videos, when they are picked out of a folder of many; a single file may have any name.
SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".ts", ".wmv", ".3gp", ".ogv")
_REMEDY = "check that it plays, or copy it again"
_MISSING_SHARE = 0.1  # of the frames that a file announces


@dataclass(eq=False)
class Video:
    """An open video: fps, how many frames it announces (0: it does not say), and how many of those read are damaged."""

    path: Path
    fps: float
    announced: int
    _container: Any
    _stream: Any
    damaged: int = 0

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield the second and the picture (H, W, 3) uint8, RGB, of each frame.

        Raises:
            UserError: it is damaged, or ends early.
        """
        import av

        count, first_s = 0, None
        try:
            for frame in self._container.decode(self._stream):
                second = count / self.fps if frame.time is None else float(frame.time)
                first_s = second if first_s is None else first_s
                self.damaged += bool(frame.is_corrupt)
                yield second - first_s, _upright(frame)
                count += 1
        except av.FFmpegError as error:
            raise UserError(f"{self.path}: is damaged at frame {count} ({_reason(error)}); {_REMEDY}") from error
        if not count:
            raise UserError(f"{self.path}: holds no frame; {_REMEDY}")
        if count < (1 - _MISSING_SHARE) * self.announced:
            raise UserError(f"{self.path}: ends after {count} of the {self.announced} frames that it announces; "
                            f"{_REMEDY}")


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """Open a video for the block.

    Raises:
        UserError: it is none, is damaged, or PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise UserError("videos are read by PyAV: pip install av; or make pose, whose environment has it") from None
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{path}: is no video that can be read ({_reason(error)}); {_REMEDY}") from error
    with container:
        if not container.streams.video:
            raise UserError(f"{path}: holds no pictures, only sound; give a video")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        yield Video(path, float(rate) if rate else USUAL_FPS, stream.frames, container, stream)


def _upright(frame: Any) -> np.ndarray:
    """Return a frame as it is to be shown: telephones store pictures lying on their side."""
    picture = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)[:100]
