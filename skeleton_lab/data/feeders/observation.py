"""The observed part of clips: what has been seen of an action when it has to be named.

Early recognition cuts an action after a share of its frames, its observation ratio, and asks for the class (Ryoo,
"Human Activity Prediction", ICCV 2011; Kong, Tao and Fu, "Deep Sequential Context Networks for Action Prediction",
CVPR 2017). Here the share counts a clip's valid frames from the first one on, before anything else happens to the
clip, so that nothing of what comes later is known to cropping, resizing or scaling.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skeleton_lab.command.shares import share_range
from skeleton_lab.errors import UserError

SAME_M = 1e-5  # what rounding may make of a coordinate that was copied
_MOST_LOOKED_AT = 256  # clips of a file, to learn how it pads


@dataclass(frozen=True)
class Observation:
    """Which share of each clip is seen: `least` of it, or drawn anew each time between `least` and `most`."""

    least: float
    most: float

    @classmethod
    def of(cls, observe: float | Sequence[float], feeder: str) -> Observation:
        """Read the option `observe` of a feeder: one share in (0, 1], or two in ascending order to draw between.

        Raises:
            UserError: it is neither; `feeder` is the dotted path in the message.
        """
        try:
            return cls(*share_range(observe))
        except ValueError:
            raise UserError(f"{feeder}: observe={observe!r:.80} is no share of a clip; give one number in (0, 1], or "
                            "two in ascending order to draw between, such as [0.1, 1]") from None

    @property
    def whole(self) -> bool:
        """Whether clips are left as they are."""
        return self.least == 1

    def frames(self, num_valid: np.ndarray) -> np.ndarray:
        """Return how many of the first `num_valid` (N,) int64 frames of each clip are seen, (N,) int64.

        The nearest whole number, and at least one frame of a clip that has any. A drawn share takes one number from
        Python's global generator a clip, in order; other shares take none.
        """
        if self.whole:
            return num_valid
        shares: float | np.ndarray = self.least
        if self.least < self.most:
            shares = np.array([random.uniform(self.least, self.most) for _ in num_valid])
        return np.maximum(np.rint(shares * num_valid).astype(np.int64), np.minimum(num_valid, 1))


def repeats_to_the_end(clips: np.ndarray) -> bool:
    """Whether the frames of clips (N, C, T, V, M) repeat until T, as in MS-G3D's NTU files, or zeros follow them.

    Looks at up to 256 clips, evenly spread: one that ends in empty frames says that zeros follow.
    """
    rows = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), _MOST_LOOKED_AT)).astype(int)) if len(clips) else ()
    return all(clips[row, :, -1].any() or not clips[row].any() for row in rows)


def observed_clip(clip: np.ndarray, observation: Observation, repeats: bool) -> np.ndarray:
    """Return clip (C, T, V, M) with its observed frames only, and after them what follows the frames of its file.

    That is zeros or, where the file `repeats`, the observed frames again and again until T. The valid frames are then
    those up to the first repetition, judged by the first body that is there; those of another body that came late or
    left early were moved or repeated when the file was made, and are taken as they lie.
    """
    num_frames = clip.shape[1]
    num_valid = _period(clip) if repeats else _last_occupied(clip) + 1
    seen = int(observation.frames(np.array([num_valid]))[0])
    if repeats:
        return clip[:, np.arange(num_frames) % seen]
    result = clip.copy()
    result[:, seen:] = 0
    return result


def _last_occupied(clip: np.ndarray) -> int:
    """Return the last frame of (C, T, V, M) that is not empty, -1 if all are."""
    occupied = np.flatnonzero((clip != 0).any(axis=(0, 2, 3)))
    return int(occupied[-1]) if len(occupied) else -1


def _period(clip: np.ndarray) -> int:
    """Return after how many frames (C, T, V, M) begins again; T if it never does."""
    bodies = np.flatnonzero((clip != 0).any(axis=(0, 1, 2)))
    body = np.moveaxis(clip[..., bodies[0] if len(bodies) else 0], 1, 0)  # (C, T, V) -> (T, C, V)
    alike = np.abs(body - body[0]).max(axis=(1, 2)) <= SAME_M
    for frame in np.flatnonzero(alike)[1:]:
        if np.abs(body[frame:] - body[:-frame]).max() <= SAME_M:
            return int(frame)
    return len(body)
