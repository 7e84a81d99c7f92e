"""Frames with somebody in them. A frame of which all values are 0 is empty: nobody was seen in it.

The rule for clips of one's own skeletons and of the small data sets: a clip is what lies between its first and its last
frame with a body, empty frames in between stay empty, and a recording with nobody is none. The published preparation of
NTU RGB+D has rules of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FAR_OUT = 3  # Tukey's outer fence: so many times the middle half's spread beyond it
_LONG = 2  # and longer than the median so many times, for sets whose clips are all about alike


def occupied(frames: np.ndarray) -> np.ndarray:
    """Return (T,) bool: which frames (T, ...) hold a value that is not 0."""
    return np.asarray(frames.reshape(len(frames), -1).any(axis=1))


def first_and_stop(used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of clips' occupied frames (N, T) the first, and the one after the last, (N,) int64 each; 0, 0 if none."""
    some = used.any(axis=1)
    first = np.where(some, used.argmax(axis=1), 0)
    stop = np.where(some, used.shape[1] - used[:, ::-1].argmax(axis=1), 0)
    return first.astype(np.int64), stop.astype(np.int64)


def between_bodies(frames: np.ndarray) -> np.ndarray:
    """Return the frames (T, ...) from the first with a body to the last, a view; none if nobody is there."""
    first, stop = first_and_stop(occupied(frames)[None])
    return frames[first[0]:stop[0]]


def outlying(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the places of clips that are far longer than the others, (K,) int64, the longest first.

    Beyond Tukey's outer fence, and twice the median. One such clip makes each clip of an archive as long.
    """
    counts = np.asarray(lengths)
    if len(counts) < 4:  # too few to have a middle half
        return np.empty(0, np.int64)
    low, median, high = np.percentile(counts, [25, 50, 75])
    far = np.flatnonzero((counts > high + FAR_OUT * (high - low)) & (counts > _LONG * median))
    return far[np.argsort(-counts[far], kind="stable")]


def about_outliers(names: Sequence[str], lengths: Sequence[int] | np.ndarray) -> str:
    """Return a line about the clips that are far longer than the others, "" without one; `names` (N,) of all."""
    far = outlying(lengths)
    if not len(far):
        return ""
    low, high = np.percentile(lengths, [25, 75])
    shown = ", ".join(f"{names[place]} ({lengths[place]})" for place in far[:5]) + (", ..." if len(far) > 5 else "")
    return (f"far longer than the others, half of which have {low:.0f} to {high:.0f} frames: {shown}; look whether "
            "such a clip is damaged, since the longest one sets the length of all")
