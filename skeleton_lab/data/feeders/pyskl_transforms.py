"""What PYSKL and MMAction2 make of keypoints before a network sees them, for the rows of many recordings at once.

A row is one person in one frame. Axes: N recordings, S rows, V joints, C coordinates. Their files are half-precise, and
so are some of their steps: published numbers depend on it, so they are here too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from skeleton_lab.data.feeders.pyskl_rows import Rows

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
    20: (19, 0, 0, 1, 2, 19, 19, 5, 6, 7, 8, 17, 17, 11, 12, 13, 14, 18, 19, 19),  # COCO's and three more, of ProtoGCN
}
GRANDPARENTS = {  # of ProtoGCN's features k
    25: (20, 1, 2, 20, 4, 20, 4, 5, 8, 20, 8, 9, 1, 0, 12, 13, 1, 0, 16, 17, 20, 7, 6, 11, 10),
    20: (0, 19, 19, 0, 0, 5, 6, 19, 19, 5, 6, 18, 18, 17, 17, 11, 12, 19, 18, 19),
}
OTHER_ENDS = {"b": BONES, "k": GRANDPARENTS}
FLAT = (17, 18, 20, 21)
MEAN_SCORE_OF_MOTION = (17, 18)  # of hands the difference of scores is taken, as of coordinates


def centre_of(first: np.ndarray) -> np.ndarray:
    """Return the origins (N, C) of recordings whose first persons' first frames are (N, V, C)."""
    return first[:, NTU_CENTRE if first.shape[1] == NTU_JOINTS else -1]


def centred(x: np.ndarray, centres: np.ndarray, rows: Rows | None = None) -> np.ndarray:
    """Return x (S, V, 3) about the centres (N, 3) of its recordings, in its precision; joints at zero are absent, and
    stay. rows: which are whose; None: each row is a recording.
    """
    origins = np.tile(centres, (1, x.shape[1]))
    origins = origins if rows is None else rows.of_each(origins)
    moved = torch.from_numpy(x).view(len(x), -1) - torch.from_numpy(origins)  # NumPy is slow in half precision
    made = moved.numpy().reshape(x.shape)
    made.reshape(-1, 3)[_absent(x)] = 0
    return made


def _absent(x: np.ndarray) -> np.ndarray:
    """Return which joints of x (S, V, 3), counted through, are at zero."""
    zero = (np.ascontiguousarray(x).view(f"u{x.itemsize}").reshape(-1) << 1) == 0  # all bits but the sign
    found = np.flatnonzero(zero)
    found = found[found % 3 == 0]
    return found[zero[found + 1] & zero[found + 2]] // 3


def upright(first: np.ndarray, shoulders: bool = True, spine: bool = True) -> np.ndarray:
    """Return the rotations (N, 3, 3) float64 that lay the spine along z and the shoulders along x.

    first: (N, V, 3), the first person in the first frame, about the centre.
    """
    turns = np.tile(np.eye(3), (len(first), 1, 1))
    if spine:
        turns = _onto(first[:, SPINE[1]] - first[:, SPINE[0]], np.array([0, 0, 1]))
    if shoulders:
        across = first[:, SHOULDERS[1]], first[:, SHOULDERS[0]]
        if spine:
            across = tuple(np.einsum("nd,nkd->nk", end, turns) for end in across)
        turns = _onto(across[0] - across[1], np.array([1, 0, 0])) @ turns
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
    return _rotations(np.where(still[:, None], 0, normed), np.where(still, 0, angles))


def _rotations(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return the rotations (N, 3, 3) about unit axes (N, 3) by angles (N), after Rodrigues."""
    x, y, z = axes.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sin, cos = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.eye(3) + sin * cross + (1 - cos) * (cross @ cross)


def turned(x: np.ndarray, matrices: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return x (S, V, C) float64, the first coordinates of each recording's rows rotated by its matrix, (N, 2, 2) or
    (N, 3, 3); further channels stay. bounds: (N + 1,) where the rows of each begin; those behind become 0.
    """
    size = matrices.shape[1]
    wide = torch.from_numpy(x).double().numpy()
    made = np.empty_like(wide)
    made[..., size:], made[bounds[-1]:] = wide[..., size:], 0
    for matrix, begin, end in zip(matrices, bounds[:-1], bounds[1:], strict=True):
        np.matmul(wide[begin:end].reshape(-1, wide.shape[2])[:, :size], matrix.T,
                  out=made[begin:end].reshape(-1, wide.shape[2])[:, :size])
    return made


def euler(angles: np.ndarray) -> np.ndarray:
    """Return the rotations (3, 3) about z, y and x by three angles, theirs of random turns; (2, 2) by one angle."""
    if len(angles) == 1:
        sin, cos = np.sin(angles[0]), np.cos(angles[0])
        return np.array([[cos, -sin], [sin, cos]])
    (sa, sb, sc), (ca, cb, cc) = np.sin(angles), np.cos(angles)
    about_x = np.array([[1, 0, 0], [0, ca, sa], [0, -sa, ca]])
    about_y = np.array([[cb, 0, -sb], [0, 1, 0], [sb, 0, cb]])
    about_z = np.array([[cc, sc, 0], [-sc, cc, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def noise_of(shape: tuple[int, int, int], sigma: float) -> np.ndarray:
    """Draw noise (S, V, C) of a recording's S rows, of a size of `sigma` in a direction of its own for each joint."""
    rows, joints, channels = shape
    sizes = np.random.randn(rows, joints) * sigma
    directions = np.random.uniform(-1, 1, (channels, rows, joints))
    return (sizes * directions / np.linalg.norm(directions, axis=0)).transpose(1, 2, 0)


def noisy(x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return x (S, V, C) with noise (S, V, C) in proportion to the extent of each row; absent persons have none."""
    return x + noise * np.linalg.norm(x.max(axis=1) - x.min(axis=1), axis=1)[:, None, None]


def in_picture(x: np.ndarray, middle: np.ndarray, half: np.ndarray, rows: Rows) -> np.ndarray:
    """Return x (S, V, 2) relative to a middle and half extent of its recordings, (N, 2) both, in its precision."""
    parts = (rows.of_each(np.tile(part.astype(x.dtype), (1, x.shape[1]))) for part in (middle, half))
    middles, halves = map(torch.from_numpy, parts)
    return (torch.from_numpy(x).view(len(x), -1) - middles).div_(halves).numpy().reshape(x.shape)


def spans(x: np.ndarray, score: np.ndarray | None, threshold: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the middle and half the range (2,) each of a clip's points (..., 2) with scores above the threshold.

    None where a range is too small to be of pixels.
    """
    points = x[..., :2].reshape(-1, 2) if score is None else x[score > threshold][:, :2]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    return ((high + low) / 2, (high - low) / 2) if (high - low > LEAST_RANGE).all() else None


def features(x: np.ndarray, ends: np.ndarray, feats: Sequence[str]) -> np.ndarray:
    """Return the features (S + 1, V, C * number of feats) float32 of rows (S + 1, V, C), the last of which is nobody's:
    zeros. x may become them.

    Args:
        ends: rows that no other follows. feats: "j" joints, "b" bones, "k" joints from their grandparents; "jm", "bm"
            and "km" their motions.
    """
    kinds = {kind: _relative(x, kind) if kind in OTHER_ENDS else x for kind in {feat[0] for feat in feats}}
    parts = [_motion(kinds[feat[0]], ends) if "m" in feat else kinds[feat[0]] for feat in feats]
    made = _single(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1))
    made[-1] = 0
    return made


def _single(x: np.ndarray) -> np.ndarray:
    return torch.from_numpy(x).float().numpy()  # which NumPy is slow at, of half precision


def _scored(x: np.ndarray, joints: tuple[int, ...]) -> bool:
    return x.shape[-1] == 3 and x.shape[-2] in joints


def _relative(x: np.ndarray, kind: str) -> np.ndarray:
    """Return x (S, V, C) relative to the other ends of bones, or to grandparents, float32; of the scores of a bone the
    mean.
    """
    joints, channels = x.shape[1:]
    columns = np.array(OTHER_ENDS[kind][joints])[:, None] * channels + np.arange(channels)
    here = torch.from_numpy(x)
    other = here.view(len(x), -1).index_select(1, torch.from_numpy(columns.reshape(-1))).view(here.shape)
    mean = (here[..., 2] + other[..., 2]) / 2 if kind == "b" and _scored(x, FLAT) else None
    difference = torch.sub(here, other, out=other).float()
    if mean is not None:
        difference[..., 2] = mean
    return difference.numpy()


def _motion(x: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return what changes to the following row; nothing where none follows."""
    here = torch.from_numpy(x)
    motion = torch.empty_like(here)
    motion[-1] = 0
    torch.sub(here[1:], here[:-1], out=motion[:-1])
    if _scored(x, MEAN_SCORE_OF_MOTION):
        motion[:-1, :, 2] = (here[:-1, :, 2] + here[1:, :, 2]) / 2
    motion[torch.from_numpy(ends)] = 0
    return motion.numpy()


def clips_of(features: np.ndarray, rows: Rows) -> np.ndarray:
    """Return the clips (N, K, M, L, V, C) float32 that show features (S + 1, V, C); zeros where nobody is."""
    flat = features.reshape(len(features), -1)
    return flat.take(rows.places, axis=0).reshape(*rows.places.shape, *features.shape[1:])
