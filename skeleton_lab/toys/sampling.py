"""Clips of any length to clips of a fixed one: what the baselines feed on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skeleton_lab.data.feeders import transforms

SPINE = 1  # NTU's "spine middle": the point that a clip is centred on
TEST_SHARE = 0.95
TRAIN_SHARES = (0.5, 1.0)


@dataclass(frozen=True)
class FixedLength:
    """A transform of one clip (C, T, V, M) to (C, num_frames, V, M): its non-empty frames, resampled and centred.

    Empty frames are dropped, a part of the rest is resampled linearly to `num_frames`, and the position of the first
    body's spine in the first frame becomes the origin; an absent body stays zero. `augment` draws the part and a small
    rotation at random (NumPy's and torch's global generators), else it is the middle 95 %.
    """

    num_frames: int
    augment: bool = False

    def __call__(self, clip: Tensor) -> Tensor:
        frames = np.ascontiguousarray(clip.numpy().transpose(1, 3, 2, 0))  # (T, M, V, C)
        frames = frames[frames.any(axis=(1, 2, 3))]
        if len(frames) == 0:
            return clip.new_zeros(clip.shape[0], self.num_frames, *clip.shape[2:])
        resampled = self._resample(frames)  # (num_frames, M, V, C)
        present = (resampled != 0).any(axis=(2, 3), keepdims=True)
        resampled = np.where(present, resampled - resampled[0, 0, SPINE], 0)
        if self.augment:
            resampled = transforms.rotate(resampled[None], transforms.draw_rotations(1))[0]
        return torch.from_numpy(np.ascontiguousarray(resampled.transpose(3, 0, 2, 1)))  # (C, T, V, M)

    def _resample(self, frames: np.ndarray) -> np.ndarray:
        length = np.array([len(frames)])
        spans = (transforms.draw_spans(length, *TRAIN_SHARES) if self.augment
                 else transforms.centre_spans(length, TEST_SHARE))
        plan = transforms.plan_resampling(spans, self.num_frames)
        shape = (self.num_frames, *frames.shape[1:])
        lower, upper = frames[plan.lower[0]], frames[plan.upper[0]]
        mixed = transforms.mix_frames(lower.reshape(self.num_frames, -1), upper.reshape(self.num_frames, -1),
                                      plan.weight[0])
        return mixed.reshape(shape)
