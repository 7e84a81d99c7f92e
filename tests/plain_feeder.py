"""CTR-GCN's NTU feeding, one clip and one step at a time: what the batched feeder must reproduce."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from skeleton_lab.skeletons import NTU_25


class PlainFeeder:
    """Item i is the clip (C, T, V, M) of row i of `data` (N, T, 150), transformed on its own.

    Draws from NumPy's and torch's global generators.
    """

    def __init__(self, data, p_interval, window_size, random_rot=False, bone=False, vel=False):
        self.data = np.reshape(data, (*data.shape[:2], 2, 25, 3)).transpose(0, 4, 1, 3, 2)  # (N, C, T, V, M)
        self.p_interval, self.window_size = p_interval, window_size
        self.random_rot, self.bone, self.vel = random_rot, bone, vel

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        clip = np.array(self.data[index])
        num_valid = int((clip.sum(axis=0).sum(axis=-1).sum(axis=-1) != 0).sum())
        clip = self._crop_and_resize(clip, num_valid)
        if self.random_rot:
            clip = _turn(clip, torch.empty(3).uniform_(-0.3, 0.3))
        if self.bone:
            bones = np.zeros_like(clip)
            for joint, reference in NTU_25.bones:
                bones[:, :, joint] = clip[:, :, joint] - clip[:, :, reference]
            clip = bones
        if self.vel:
            clip[:, :-1] = clip[:, 1:] - clip[:, :-1]
            clip[:, -1] = 0
        return clip

    def get_batch(self, indices):
        """Return the items stacked, (N, C, T, V, M)."""
        return np.stack([self[index] for index in indices])

    def _crop_and_resize(self, clip, num_valid):
        """Crop to the middle or to a random span; resize as a two-dimensional image (T high, C*V*M wide)."""
        channels, _, joints, bodies = clip.shape
        if num_valid == 0:
            return np.zeros((channels, self.window_size, joints, bodies), np.float32)
        if len(self.p_interval) == 1:
            cut = math.floor((1 - self.p_interval[0]) * num_valid / 2)
            clip = clip[:, cut:num_valid - cut]
        else:
            low, high = self.p_interval
            share = np.random.rand() * (high - low) + low
            length = min(max(math.floor(num_valid * share), 64), num_valid)
            start = np.random.randint(0, num_valid - length + 1)
            clip = clip[:, start:start + length]
        image = torch.from_numpy(np.ascontiguousarray(clip.transpose(0, 2, 3, 1))).reshape(1, 1, -1, clip.shape[1])
        size = (image.shape[2], self.window_size)
        resized = functional.interpolate(image, size=size, mode="bilinear", align_corners=False)
        series = resized.reshape(channels, joints, bodies, self.window_size)
        return series.permute(0, 3, 1, 2).contiguous().numpy()  # (C, T, V, M)


def _turn(clip, angles):
    a, b, c = angles.tolist()
    about_x = np.array([[1, 0, 0], [0, math.cos(a), math.sin(a)], [0, -math.sin(a), math.cos(a)]])
    about_y = np.array([[math.cos(b), 0, -math.sin(b)], [0, 1, 0], [math.sin(b), 0, math.cos(b)]])
    about_z = np.array([[math.cos(c), math.sin(c), 0], [-math.sin(c), math.cos(c), 0], [0, 0, 1]])
    matrix = (about_z @ about_y @ about_x).astype(np.float32)
    return np.einsum("ij,jtvm->itvm", matrix, clip)
