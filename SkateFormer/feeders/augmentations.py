"""What SkateFormer's training does to a single clip of NTU RGB+D, and to the lengths of its bones.

A clip is (T, M, V, C) float, of all 25 joints. Draws come from Python's `random` and NumPy's global generator, in the
published order. Each function takes a clip and its frame index (T,), and returns both.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np

from skeleton_lab.data.feeders.transforms import axis_rotations

Augmentation = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
ROOT = 1  # of the tree of bones: the middle of the spine
# Each joint's neighbour towards the root. Four differ from CTR-GCN's: those of joints 2, 21, 22 and 24, counted from 1.
PARENTS = np.array([2, 2, 21, 3, 21, 5, 6, 7, 21, 9, 10, 11, 1, 13, 14, 15, 1, 17, 18, 19, 2, 8, 8, 12, 12]) - 1
_OTHER_SIDE = np.array([0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22])
_LARGEST_TURN_DEG = 30
_BLUR_REACH = 7  # frames to either side
_DROPPED_JOINTS, _DROPPED_SHARE = (5, 15), (0.25, 0.5)  # at least and at most; of the frames
_SHORT = 1e-5  # metres; keeps a bone without length from dividing by it


def swap_bodies(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (clip[:, ::-1] if np.random.random() < 0.5 else clip), index


def drop_second_body(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if (clip != 0).any(axis=(0, 2, 3)).all() and np.random.random() < 0.5:
        np.random.randint(0, 1)  # which body: always the same
        clip = clip.copy()
        clip[:, 1] = 0
    return clip, index


def shear(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if random.random() < 0.5:
        u = [random.uniform(-0.5, 0.5) for _ in range(6)]
        clip = clip @ np.array([[1, u[0], u[3]], [u[1], 1, u[4]], [u[2], u[5], 1]]).T
    return clip, index


def rotate(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    axis, angle = random.randint(0, 2), math.radians(random.uniform(-_LARGEST_TURN_DEG, _LARGEST_TURN_DEG))
    if random.random() < 0.5:
        clip = clip @ axis_rotations(np.array([angle]), axis)[0].T
    return clip, index


def scale(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if random.random() < 0.5:
        clip = clip * (1 + 0.2 * np.random.uniform(-1, 1, 3))
    return clip, index


def exchange_sides(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left joints become right ones; coordinates stay as they are."""
    return (clip[:, :, _OTHER_SIDE] if random.random() < 0.5 else clip), index


def reverse(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames change their order; their index is negated, and does not."""
    return (clip[::-1], -index) if random.random() < 0.5 else (clip, index)


def add_noise(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if random.random() < 0.5:
        noise = np.random.normal(0, 0.05, clip.transpose(3, 0, 2, 1).shape)  # drawn as (C, T, V, M)
        clip = clip + noise.transpose(1, 3, 2, 0)
    return clip, index


def blur(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over time, by weights that do not add up to 1, with zeros beyond the ends."""
    sigma = random.uniform(0.1, 2)
    if np.random.random() < 0.5:
        steps = np.arange(-_BLUR_REACH, _BLUR_REACH + 1)
        padded = np.pad(clip, ((_BLUR_REACH, _BLUR_REACH), (0, 0), (0, 0), (0, 0)))
        clip = sum(weight * padded[start:start + len(clip)]
                   for start, weight in enumerate(np.exp(-steps**2 / (2 * sigma**2))))
    return clip, index


def drop_coordinate(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    axis = random.randint(0, 2)
    if random.random() < 0.5:
        clip = clip.copy()
        clip[..., axis] = 0
    return clip, index


def drop_joints(clip: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some joints of both bodies are zero in some frames."""
    if random.random() < 0.5:
        frames, joints = len(clip), clip.shape[2]
        dropped = random.sample(range(joints), random.randint(*_DROPPED_JOINTS))
        least, most = (int(share * frames) for share in _DROPPED_SHARE)
        times = random.sample(range(frames), random.randint(least, most))
        clip = clip.copy()
        clip[np.ix_(times, range(clip.shape[1]), dropped)] = 0
    return clip, index


LETTERS: dict[str, Augmentation] = {  # in the order in which they are applied
    "a": swap_bodies, "b": drop_second_body, "1": shear, "2": rotate, "3": scale, "4": exchange_sides, "5": reverse,
    "6": add_noise, "7": blur, "8": drop_coordinate, "9": drop_joints}
NOTHING = "z"


def with_lengths_of(clip: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return `clip` with the bones of `other`, both (T, M, V, C): its own directions, the other's lengths.

    The root stands where the other's does. A body that only the other has becomes a point at its root; one that only
    the clip has, a point at zero.
    """
    own, theirs = clip - clip[:, :, PARENTS], other - other[:, :, PARENTS]
    lengths, wanted = (np.linalg.norm(bones, axis=-1, keepdims=True) + _SHORT for bones in (own, theirs))
    moved = own * wanted / lengths
    result = other.copy()
    for joint in _outwards():
        result[:, :, joint] = result[:, :, PARENTS[joint]] + moved[:, :, joint]
    return result


def _outwards() -> list[int]:
    """Return the joints but for the root, each behind its parent."""
    order = [ROOT]
    for joint in order:
        order += [int(child) for child in np.flatnonzero(joint == PARENTS) if child != joint]
    return order[1:]
