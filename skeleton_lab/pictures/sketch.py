"""A clip as its viewer sees it: lines on a page. The report, GIF and MP4 draw the same lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.skeleton_clip import SkeletonClip, side
from skeleton_lab.skeletons import Skeleton

Points = NDArray[np.floating]
SIDES = ("middle", "left", "right")
_STRAY, _FAR = 0.005, 0.2  # share of the joints, at either end, that need not fit in if they are that far off
_CELLS = 6  # of the floor, about, along its longer side


@dataclass(frozen=True, eq=False)
class Sketch:
    """Joints and floor on a page: x to the right, y down, in the clip's unit.

    joints: (T, M, V, 2). shown: (T, M, V) bool, which of them are there. floor: (K, 2, 2), the ends of its lines.
    """

    joints: Points
    shown: NDArray[np.bool_]
    skeleton: Skeleton
    floor: Points

    @property
    def box(self) -> tuple[Points, Points]:
        """The upper left and lower right corner, (2,) each, of all that is drawn but for stray joints."""
        points = self.joints[self.shown]
        if not len(points):
            return np.zeros(2), np.ones(2)
        low, high = _bounds(points)
        for corner in self.floor.reshape(-1, 2):
            low, high = np.minimum(low, corner), np.maximum(high, corner)
        return low, high

    def bodies(self, frame: int) -> list[int]:
        """Return which bodies are in a frame."""
        return np.flatnonzero(self.shown[frame].any(axis=1)).tolist()

    def bones(self, frame: int, body: int) -> Iterator[tuple[str, Points]]:
        """Yield each side that has some with its bones (n, 2, 2): the ends of those whose joints are both there."""
        joints, shown = self.joints[frame, body], self.shown[frame, body]
        for name in SIDES:
            pairs = [(parent, joint) for joint, parent in self.skeleton.bones
                     if joint != parent and shown[joint] and shown[parent] and side(self.skeleton, joint) == name]
            if pairs:
                yield name, joints[np.array(pairs)]

    def dots(self, frame: int, body: int) -> Points:
        """Return the joints (n, 2) of a body that are there."""
        return self.joints[frame, body][self.shown[frame, body]]


@dataclass(frozen=True, eq=False)
class Placing:
    """Where a page's points stand in a picture: scaled, then moved by `offset` (2,)."""

    scale: float
    offset: Points

    def __call__(self, points: Points) -> Points:
        """Return points (..., 2) in the picture's pixels."""
        return points * self.scale + self.offset


def sketch_clip(clip: SkeletonClip, follow: bool = False) -> Sketch:
    """Return a clip as seen by somebody who stands at the camera; flat joints as they lie in their picture.

    Args:
        follow: go along with the people, so that somebody who walks stays in the middle; then there is no floor.
    """
    seen = clip.on_screen(follow) * (1, -1)  # down the page is down
    shown = np.repeat(clip.present[:, :, None], seen.shape[2], axis=2)
    if clip.flat:
        shown &= (clip.frames != 0).any(axis=3)  # estimators put a joint that they did not find at 0, 0
    floor = np.zeros((0, 2, 2)) if follow or clip.flat else _floor(clip)
    return Sketch(seen, shown, clip.skeleton, floor)


def _bounds(points: Points) -> tuple[Points, Points]:
    """Return the lowest and highest corner of points (n, C), but for a few that lie far off."""
    low, high = np.quantile(points, (_STRAY, 1 - _STRAY), axis=0)
    far = _FAR * float((high - low).max())
    return np.maximum(points.min(axis=0), low - far), np.minimum(points.max(axis=0), high + far)


def _floor(clip: SkeletonClip) -> Points:
    """Return the lines (K, 2, 2) of a grid under the feet, as wide as the people go."""
    points = clip.in_space()[clip.present].reshape(-1, 3)
    if not len(points):
        return np.zeros((0, 2, 2))
    low, high = _bounds(points)
    step = _round_step(float((high - low).max()) / _CELLS)
    first, last = np.floor(low[:2] / step), np.ceil(high[:2] / step)
    across, away = (np.arange(start, stop + 1) * step for start, stop in zip(first, last, strict=True))
    lines = [((x, away[0]), (x, away[-1])) for x in across] + [((across[0], y), (across[-1], y)) for y in away]
    ends = np.array(lines)  # (K, 2, 2) on the ground
    height = np.full((*ends.shape[:2], 1), low[2])
    return clip.projected(np.concatenate([ends, height], axis=2)) * (1, -1)


def _round_step(size: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least `size`."""
    power = 10.0 ** np.floor(np.log10(max(size, 1e-9)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size * (1 - 1e-9))


def fit(box: tuple[Points, Points], size: tuple[int, int], margin: int) -> Placing:
    """Return where a box, its two corners, stands in the middle of a picture of `size` (width, height), with a margin
    in pixels.
    """
    low, high = box
    room = np.maximum(np.array(size) - 2 * margin, 1)
    scale = float((room / np.maximum(high - low, 1e-6)).min())
    return Placing(scale, np.array(size) / 2 - (low + high) / 2 * scale)


def dashed(segments: Points, pattern: tuple[float, ...]) -> Points:
    """Return the dashes (k, 2, 2) of lines (n, 2, 2); `pattern`: lengths of dash, gap, dash, gap, ..."""
    starts, length = np.cumsum((0.0, *pattern[:-1]))[::2], float(sum(pattern))
    dashes = []
    for begin, end in segments:
        reach = float(np.hypot(*(end - begin)))
        at = (np.arange(0, max(reach, 1e-9), length)[:, None] + starts).ravel()
        at = at[at < reach]
        stop = np.minimum(at + np.resize(pattern[::2], len(at)), reach)
        ways = np.stack([at, stop], axis=1) / max(reach, 1e-9)  # (k, 2)
        dashes.append(begin + ways[..., None] * (end - begin))
    return np.concatenate(dashes) if dashes else np.zeros((0, 2, 2))
