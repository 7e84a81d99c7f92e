"""MS-G3D's pre-normalisation of NTU clips: repeat, centre every frame, turn the body upright and to the camera.

Source: MS-G3D (Liu et al., CVPR 2020), after 2s-AGCN (Shi et al., CVPR 2019). Whole clips at once, in the layout
(N, 3, T, V, M); here "empty" and "missing" mean that every number is zero.
"""

from __future__ import annotations

import numpy as np

from skeleton_lab.skeletons import NTU_25

SPINE_BASE, SPINE_MIDDLE, LEFT_SHOULDER, RIGHT_SHOULDER = (
    NTU_25.joint_names.index(name) for name in ("spine base", "spine middle", "left shoulder", "right shoulder"))
X_AXIS, Z_AXIS = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
CLIPS_AT_ONCE = 8  # what fits into a processor's cache goes more than twice as fast
TINY = 1e-6  # shorter vectors, and smaller angles in radians, turn nothing


def pre_normalize(block: np.ndarray) -> np.ndarray:
    """Return clips (N, 3, T, 25, M) padded, centred and aligned: a new float32 array of that shape.

    1. Padding, body by body: if frame 0 is empty, the non-empty frames move to the front. Then the frames up to the
       last non-empty one repeat until the clip ends. Gaps inside stay, unless frame 0 was empty.
    2. Centring: in each frame the spine middle of body 0 becomes the origin for all bodies. Missing joints stay zero.
    3. Rotation of all bodies in all frames: the one that turns the spine of body 0 in frame 0 to +z, then the one that
       turns its shoulder line, left to right, to +x. A vector that points exactly away from its axis stays so.

    Empty bodies and clips stay empty. A clip with a NaN comes out as NaN, without a complaint.

    Raises:
        ValueError: the block is not (N, 3, T, 25, M).
    """
    if block.ndim != 5 or block.shape[1] != 3 or block.shape[3] != NTU_25.num_joints:
        raise ValueError(f"clips of shape (N, 3, T, 25, M) expected, not {block.shape}")
    result = np.array(block, np.float32, order="C")
    if result.size:
        for start in range(0, len(result), CLIPS_AT_ONCE):
            clips = result[start:start + CLIPS_AT_ONCE]
            _pad(clips)
            _centre(clips)
            _align(clips)
    return result


def _pad(clips: np.ndarray) -> None:
    """Repeat each body's frames to the end of the clip, in (N, 3, T, V, M)."""
    by_body = np.ascontiguousarray(_joint_present(clips).transpose(0, 1, 3, 2))  # (N, T, M, V): a fast axis to reduce
    occupied: np.ndarray = np.any(by_body, axis=3)  # (N, T, M)
    for clip, used, source in zip(clips, occupied, _padding_sources(occupied), strict=True):
        first, *others = np.flatnonzero(used.any(axis=0)) if used.any() else [0]
        padded = clip.take(source[:, first], axis=1)  # all bodies at once: any order suits an empty one
        for body in others:
            if (source[:, body] != source[:, first]).any():
                padded[..., body] = clip[..., body].take(source[:, body], axis=1)
        clip[...] = padded


def _padding_sources(occupied: np.ndarray) -> np.ndarray:
    """Return (N, T, M) int64: which frame of a body comes to stand at frame t, from which frames it has, (N, T, M)."""
    num_frames = occupied.shape[1]
    frames = np.arange(num_frames)[None, :, None]
    late = occupied.any(axis=1, keepdims=True) & ~occupied[:, :1]  # (N, 1, M): begins after frame 0, so close the gaps
    order = np.where(late, np.argsort(~occupied, axis=1, kind="stable"), frames)
    end = num_frames - np.argmax(occupied[:, ::-1], axis=1)[:, None]  # (N, 1, M); an empty body never repeats
    period = np.where(late, occupied.sum(axis=1, keepdims=True), end)
    return np.take_along_axis(order, frames % period, axis=1)


def _joint_present(clips: np.ndarray) -> np.ndarray:
    """Return (N, T, V, M) bool: which joints of contiguous float32 (N, 3, T, V, M) have a number that is not zero."""
    bits = np.bitwise_or.reduce(clips.view(np.uint32), axis=1)  # three times faster than comparing each with zero
    return (bits << 1) != 0  # the sign bit does not count: -0 is zero


def _centre(clips: np.ndarray) -> None:
    """Subtract from each frame of (N, 3, T, V, M) the spine middle of its body 0, but keep missing joints zero."""
    present = _joint_present(clips)
    clips -= clips[:, :, :, SPINE_MIDDLE, 0].copy()[..., None, None]
    np.copyto(clips, 0, where=~present[:, None])


def _align(clips: np.ndarray) -> None:
    """Turn each clip of (N, 3, T, V, M): spine to +z, then shoulders to +x, judged by body 0 in frame 0."""
    joints = clips[:, :, 0, :, 0].astype(np.float64)  # (N, 3, V)
    upright = _shortest_turns(joints[..., SPINE_MIDDLE] - joints[..., SPINE_BASE], Z_AXIS)
    joints = (upright @ joints).astype(np.float32).astype(np.float64)  # as if stored between the two steps
    frontal = _shortest_turns(joints[..., RIGHT_SHOULDER] - joints[..., LEFT_SHOULDER], X_AXIS)
    coordinates = clips.reshape(len(clips), 3, -1)  # (N, 3, T*V*M), a view
    coordinates[...] = (frontal @ upright) @ coordinates.astype(np.float64)


def _shortest_turns(vectors: np.ndarray, axis: tuple[float, float, float]) -> np.ndarray:
    """Return (N, 3, 3) float64: the least rotations that turn `vectors` (N, 3) to `axis`, by Rodrigues' formula.

    The identity for a vector that is very short, or is parallel to `axis`, either way.
    """
    normals = np.cross(vectors, axis)
    angles = np.arccos(np.clip(_unit(vectors) @ np.asarray(axis), -1, 1))
    still = np.abs(vectors).sum(axis=1) < TINY
    still |= np.abs(normals).sum(axis=1) < TINY
    still |= np.abs(angles) < TINY
    angles[still] = 0
    x, y, z = _unit(normals).T
    zero = np.zeros_like(x)
    cross = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)  # (3, 3, N) -> (N, 3, 3)
    sine, cosine = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * cross @ cross


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return (N, 3) scaled to length one; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
