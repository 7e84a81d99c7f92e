"""PYSKL's pipeline of clips, one clip and one step at a time on all its frames: what the batched feeder must reproduce.

Axes: M persons, T frames, V joints, C coordinates; K clips of L frames. Draws from NumPy's global generator.
"""

from __future__ import annotations

import math

import numpy as np

from skeleton_lab.data.feeders.pyskl_transforms import BONES
from skeleton_lab.data.formats.pose_clips import PoseClips

PICTURE = (1080, 1920)


class PlainPyskl:
    """Item i is the clips (K, M, L, V, C) float32 of recording i."""

    def __init__(self, clips: PoseClips, feats=("j",), like="pyskl", clip_len=100, num_clips=1, num_person=2,
                 test_mode=False, random_scale=0.0, random_rot=0.0):
        self.clips, self.feats, self.like = clips, feats, like
        self.clip_len, self.num_clips, self.num_person, self.test_mode = clip_len, num_clips, num_person, test_mode
        self.random_scale, self.random_rot = random_scale, random_rot

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        x, score = self.clips.frames(index), self.clips.scores_of(index)
        if x.shape[2] == 25:
            x = prenormalize_3d(x)
        elif self.like == "pyskl":
            x, score = prenormalize_2d(x, score, self.clips.clips[index, 4:6].tolist()), None
        else:
            x = prenormalize_2d_of_mmaction2(x, self.clips.clips[index, 4:6].tolist())
        if self.random_scale:
            x = x * (1 + np.random.uniform(-1, 1, size=x.shape[-1]) * self.random_scale)
        if self.random_rot and x.any():
            x = np.einsum("mtvc,kc->mtvk", x, euler(np.random.uniform(-self.random_rot, self.random_rot, size=3)))
        if score is not None:
            x = np.concatenate([x, score[..., None]], axis=-1)
        x = np.concatenate([feature(x, feat) for feat in self.feats], axis=-1)
        frames = self.sample(x.shape[1])
        return clips_of(x[:, frames].astype(np.float32), self.num_clips, self.num_person)

    def get_batch(self, indices):
        """Return the items stacked, (N, K, M, L, V, C)."""
        return np.stack([self[index] for index in indices])

    def sample(self, frames):
        if self.test_mode:
            np.random.seed(255)
        return np.concatenate([self.one_clip(number, frames) for number in range(self.num_clips)]) % frames

    def one_clip(self, number, frames):
        length = self.clip_len
        if self.like == "pyskl":
            np.random.rand()
        if frames < length:
            if self.test_mode:
                start = number if frames < self.num_clips else number * frames // self.num_clips
            else:
                start = np.random.randint(0, frames)
            return np.arange(start, start + length)
        if frames < 2 * length:
            chosen = np.random.choice(length + 1, frames - length, replace=False)
            gaps = np.zeros(length + 1, int)
            gaps[chosen] = 1
            return np.arange(length) + np.cumsum(gaps)[:-1]
        bounds = np.array([k * frames // length for k in range(length + 1)])
        return bounds[:-1] + np.random.randint(np.diff(bounds))


def prenormalize_3d(x):
    """Drop frames without the first person, centre it, turn its spine upright and its shoulders along x."""
    if not np.any(x):
        return x
    there = [np.flatnonzero((np.abs(person) > 1e-8).any(axis=(1, 2))) for person in x]
    if len(x) == 2 and len(there[0]) < len(there[1]):
        x, there = x[::-1], there[::-1]
    x = x[:, there[0]]
    present = (x != 0).any(axis=-1, keepdims=True)
    x = (x - x[0, 0, 1]) * present
    x = turned_onto(x, x[0, 0, 1] - x[0, 0, 0], [0, 0, 1])
    return turned_onto(x, x[0, 0, 8] - x[0, 0, 4], [1, 0, 0])


def turned_onto(x, vector, axis):
    return np.einsum("mtvc,kc->mtvk", x, rotation(vector, np.array(axis)))


def rotation(vector, axis):
    """Return the matrix that turns a vector onto a unit axis, after Rodrigues; the length in its precision."""
    across = np.cross(vector, axis)
    length = np.sqrt(np.dot(vector, vector))
    if np.abs(across).sum() < 1e-6 or not length:
        return np.eye(3)
    angle = np.arccos(np.clip(np.dot(vector / length, axis), -1, 1))
    if abs(angle) < 1e-6:
        return np.eye(3)
    a, b, c = across / math.sqrt(np.dot(across, across))
    skew = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    return np.eye(3) + math.sin(angle) * skew + (1 - math.cos(angle)) * skew @ skew


def prenormalize_2d(x, score, size, threshold=0.01):
    height, width = size if size[0] else PICTURE
    x = x.astype(np.float32)
    x[..., 0] = (x[..., 0] - width / 2) / (width / 2)
    x[..., 1] = (x[..., 1] - height / 2) / (height / 2)
    if score is None:
        return x
    score = score.astype(np.float32)
    x[score <= threshold] = 0
    return np.concatenate([x, score[..., None]], axis=-1)


def prenormalize_2d_of_mmaction2(x, size):
    height, width = size if size[0] else PICTURE
    x = x.copy()
    x[..., 0] = (x[..., 0] - width / 2) / (width / 2)
    x[..., 1] = (x[..., 1] - height / 2) / (height / 2)
    return x


def euler(angles):
    (sa, sb, sc), (ca, cb, cc) = np.sin(angles), np.cos(angles)
    about_x = np.array([[1, 0, 0], [0, ca, sa], [0, -sa, ca]])
    about_y = np.array([[cb, 0, -sb], [0, 1, 0], [sb, 0, cb]])
    about_z = np.array([[cc, sc, 0], [-sc, cc, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def feature(x, feat):
    """Return joints, bones, or the motion of either."""
    joints = x.shape[2]
    scored = joints != 25 and x.shape[3] == 3
    if "b" in feat:
        bones = np.zeros(x.shape, np.float32)
        for joint, other in enumerate(BONES[joints]):
            bones[:, :, joint] = x[:, :, joint] - x[:, :, other]
            if scored:
                bones[:, :, joint, 2] = (x[:, :, joint, 2] + x[:, :, other, 2]) / 2
        x = bones
    if "m" in feat:
        motion = np.zeros_like(x)
        motion[:, :-1] = x[:, 1:] - x[:, :-1]
        if scored and joints != 21:
            motion[:, :-1, :, 2] = (x[:, :-1, :, 2] + x[:, 1:, :, 2]) / 2
        x = motion
    return x


def clips_of(x, num_clips, num_person):
    """Return (M, K*L, V, C) as (K, M, L, V, C), persons left out or filled up with zeros."""
    if len(x) < num_person:
        x = np.concatenate([x, np.zeros((num_person - len(x), *x.shape[1:]), x.dtype)])
    persons, _, joints, channels = x[:num_person].shape
    clips = x[:num_person].reshape(persons, num_clips, -1, joints, channels)
    return np.ascontiguousarray(clips.transpose(1, 0, 2, 3, 4))
