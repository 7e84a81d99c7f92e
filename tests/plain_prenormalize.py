"""MS-G3D's pre-normalisation, one joint at a time, as its definition reads: what the fast version is held against.

"Empty" means that the numbers sum to zero. Slow on purpose: one clip takes about 50 ms.
"""

from __future__ import annotations

import math

import numpy as np


def plain_pre_normalize(data: np.ndarray) -> np.ndarray:
    """Return (N, 3, T, V, M) float32 pre-normalised; the input is left alone."""
    clips = np.ascontiguousarray(np.transpose(data, (0, 4, 2, 3, 1))).astype(np.float32)  # (N, M, T, V, 3)
    for clip in clips:
        if clip.sum() == 0:
            continue
        for body in clip:
            repeat(body)
        centre(clip)
        align(clip, clip[0, 0, 1] - clip[0, 0, 0], (0, 0, 1))
        align(clip, clip[0, 0, 8] - clip[0, 0, 4], (1, 0, 0))
    return np.transpose(clips, (0, 4, 2, 3, 1))


def repeat(body):
    if body.sum() == 0:
        return
    if body[0].sum() == 0:
        kept = [frame.copy() for frame in body if frame.sum() != 0]
        body[:] = 0
        for t, frame in enumerate(kept):
            body[t] = frame
    length = max(t + 1 for t, frame in enumerate(body) if frame.sum() != 0)
    for t in range(length, len(body)):
        body[t] = body[(t - length) % length]


def centre(clip):
    origins = clip[0, :, 1].copy()
    for body in clip:
        if body.sum() == 0:
            continue
        for t, frame in enumerate(body):
            for joint in frame:
                missing = joint.sum() == 0
                joint -= origins[t]
                if missing:
                    joint[:] = 0


def align(clip, vector, target):
    rotation = shortest_turn(vector.astype(float), np.array(target, float))
    for body in clip:
        if body.sum() == 0:
            continue
        for frame in body:
            if frame.sum() == 0:
                continue
            for v, joint in enumerate(frame):
                frame[v] = rotation @ joint.astype(float)


def shortest_turn(vector, target):
    if np.abs(vector).sum() < 1e-6:
        return np.eye(3)
    axis = np.cross(vector, target)
    angle = math.acos(min(1.0, max(-1.0, vector @ target / math.sqrt(vector @ vector))))
    if np.abs(axis).sum() < 1e-6 or abs(angle) < 1e-6:
        return np.eye(3)
    a, b, c = axis / math.sqrt(axis @ axis)
    skew = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    return np.eye(3) + math.sin(angle) * skew + (1 - math.cos(angle)) * skew @ skew
