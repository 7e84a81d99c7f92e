"""What PYSKL and MMAction2 make of keypoints before a network sees them, for many clips at once.

Axes: N clips, M persons, L frames, V joints, C coordinates. Their files are half-precise, and so are some of their
steps: published numbers depend on it, so they are here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

NTU_JOINTS, NTU_CENTRE = 25, 1
SPINE, SHOULDERS = (0, 1), (4, 8)  # from the first joint to the second
_SMALL = 1e-6
LEAST_RANGE = 10  # of pixels; what spans less is in other units already
# The other end of each joint's bone, by the number of joints: those of features, not of the networks' graphs.
BONES = {
    25: (1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11),
    17: (0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 11, 12, 13, 14),
    18: (0, 0, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15),
    21: (0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19),
}
FLAT = (17, 18, 21)
MEAN_SCORE_OF_MOTION = (17, 18)  # of hands the difference of scores is taken, as of coordinates


def centre_of(first: np.ndarray) -> np.ndarray:
    """Return the origins (N, C) of clips whose first person's first frames are (N, V, C)."""
    return first[:, NTU_CENTRE if first.shape[1] == NTU_JOINTS else -1]


def centred(x: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return x (N, M, L, V, 3) about the centres (N, 3), in its precision; joints at zero are absent, and stay."""
    present = (x != 0).any(axis=-1, keepdims=True)
    return (x - centre[:, None, None, None]) * present


def upright(first: np.ndarray, shoulders: bool = True, spine: bool = True) -> np.ndarray:
    """Return the rotations (N, 3, 3) float64 that lay the spine along z and the shoulders along x.

    first: (N, V, 3), the first person in the first frame, about the centre.
    """
    turns = np.tile(np.eye(3), (len(first), 1, 1))
    if spine:
        turns = _onto(first[:, SPINE[1]] - first[:, SPINE[0]], np.array([0, 0, 1]))
    if shoulders:
        turned = np.einsum("nvd,nkd->nvk", first, turns)
        turns = _onto(turned[:, SHOULDERS[1]] - turned[:, SHOULDERS[0]], np.array([1, 0, 0])) @ turns
    return turns


def _onto(vectors: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return the rotations (N, 3, 3) of vectors (N, 3) onto an axis; their lengths are taken in their precision."""
    squares = np.array([np.dot(vector, vector) for vector in vectors], vectors.dtype)
    with np.errstate(invalid="ignore", divide="ignore"):
        units = vectors / np.sqrt(squares)[:, None]
        angles = np.arccos(np.clip(units @ axis.astype(np.float64), -1, 1))
        across = np.cross(vectors, axis)  # double precision from here on
        normed = across / np.sqrt((across * across).sum(axis=1))[:, None]
    still = (np.abs(across).sum(axis=1) < _SMALL) | (np.abs(angles) < _SMALL) | ~np.isfinite(angles)
    turns = _rotations(np.where(still[:, None], 0, normed), np.where(still, 0, angles))
    return turns


def _rotations(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return the rotations (N, 3, 3) about unit axes (N, 3) by angles (N), after Rodrigues."""
    x, y, z = axes.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sin, cos = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.eye(3) + sin * cross + (1 - cos) * (cross @ cross)


def turned(x: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return x (N, ..., 3) rotated by (N, 3, 3), float64."""
    flat = x.reshape(len(x), -1, 3).astype(np.float64)
    return (flat @ matrices.transpose(0, 2, 1)).reshape(x.shape)


def euler(angles: np.ndarray) -> np.ndarray:
    """Return the rotations (3, 3) about z, y and x by three angles, theirs of random turns."""
    (sa, sb, sc), (ca, cb, cc) = np.sin(angles), np.cos(angles)
    about_x = np.array([[1, 0, 0], [0, ca, sa], [0, -sa, ca]])
    about_y = np.array([[cb, 0, -sb], [0, 1, 0], [sb, 0, cb]])
    about_z = np.array([[cc, sc, 0], [-sc, cc, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def spans(x: np.ndarray, score: np.ndarray | None, threshold: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the middle and half the range (2,) each of a clip's points (..., 2) with scores above the threshold.

    None where a range is too small to be of pixels.
    """
    points = x[..., :2].reshape(-1, 2) if score is None else x[score > threshold][:, :2]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    return ((high + low) / 2, (high - low) / 2) if (high - low > LEAST_RANGE).all() else None


def features(now: np.ndarray, after: np.ndarray | None, last: np.ndarray | None, feats: Sequence[str],
             ) -> np.ndarray:
    """Return the features (N, M, L, V, C * number of feats) float32 of some frames.

    Args:
        now: (N, M, L, V, C). after: the frames that follow them, where there are motions among `feats`. last:
            (N, L) whether nothing follows.
        feats: "j" joints, "b" bones, "jm" and "bm" their motions.
    """
    bones = {id(part): _bones(part) for part in (now, after) if part is not None} if _any(feats, "b") else {}
    made = []
    for feat in feats:
        here, there = (bones[id(part)] if "b" in feat and part is not None else part for part in (now, after))
        assert here is not None
        made.append(_motion(here, there, last) if "m" in feat else here)
    return np.concatenate([part.astype(np.float32, copy=False) for part in made], axis=-1)


def _any(feats: Sequence[str], letter: str) -> bool:
    return any(letter in feat for feat in feats)


def _scored(x: np.ndarray, joints: tuple[int, ...]) -> bool:
    return x.shape[-1] == 3 and x.shape[-2] in joints


def _bones(x: np.ndarray) -> np.ndarray:
    """Return x (..., V, C) relative to the other ends of bones, float32; of two scores the mean."""
    other = x[..., BONES[x.shape[-2]], :]
    bones = (x - other).astype(np.float32)
    if _scored(x, FLAT):
        bones[..., 2] = (x[..., 2] + other[..., 2]) / 2
    return bones


def _motion(now: np.ndarray, after: Any, last: Any) -> np.ndarray:
    """Return what changes to the following frame; nothing where none follows."""
    motion = after - now
    if _scored(now, MEAN_SCORE_OF_MOTION):
        motion[..., 2] = (now[..., 2] + after[..., 2]) / 2
    return motion * ~last[:, None, :, None, None]
