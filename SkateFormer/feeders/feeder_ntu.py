"""NTU RGB+D 60 and 120 as SkateFormer takes them: with where each frame comes from, augmented, joints by parts."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch

from feeders.augmentations import LETTERS, NOTHING, PARENTS, with_lengths_of
from feeders.partitions import NTU_ORDER
from skeleton_lab.data.feeders import feeder_ntu, transforms
from skeleton_lab.data.formats.layouts import NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from skeleton_lab.errors import UserError

STREAMS = ("j", "b", "jm", "bm")


class Feeder(feeder_ntu.Feeder):
    """Clips of two bodies, and where in its recording each of their frames stands, from -1 to 1.

    Args:
        data_path, split, window_size, debug, observe: as in `skeleton_lab.data.feeders.feeder_ntu.Feeder`.
        label_path: not used; the labels are in the archive.
        p_interval: the share of a clip's valid frames to use: one number for the middle (testing), two to draw from.
        data_type: the stream: j joints, b bones, jm and bm their motions.
        aug_method: letters of `feeders.augmentations.LETTERS`, in any order; z for none. Training only.
        intra_p, inter_p: the share of training clips that these change, and of those that get the lengths of the bones
            of another clip of their class.
        thres: frames that are used at least, if a clip has them.
        uniform: take frames evenly, in training one from each of as many parts; False: resize what is used.
        partition: take 24 joints, part by part; False: all 25.
        padded_crop: in tests, begin short clips' crop where the published code does: of clips of 40 to 64 frames it
            misses the first one, and takes an empty one at the end.

    Raises:
        UserError: an option is not one of these, or the archive is missing or broken.
    """

    def __init__(self, data_path: str, label_path: str | None = None, p_interval: float | Sequence[float] = 1,
                 split: str = "train", data_type: str = "j", aug_method: str = NOTHING, intra_p: float = 0.5,
                 inter_p: float = 0.0, window_size: int = 64, thres: int = transforms.MIN_CROP_FRAMES,
                 uniform: bool = False, partition: bool = False, debug: bool = False,
                 observe: float | Sequence[float] = 1, padded_crop: bool = False) -> None:
        super().__init__(data_path, p_interval=p_interval, split=split, window_size=window_size, debug=debug,
                         observe=observe)
        if data_type not in STREAMS:
            raise UserError(f"feeders.feeder_ntu.Feeder: data_type '{data_type}' is no stream; choose j, b, jm or bm")
        unknown = set(str(aug_method)) - {*LETTERS, NOTHING}
        if unknown:
            raise UserError(f"feeders.feeder_ntu.Feeder: aug_method '{aug_method}': {''.join(sorted(unknown))} stands "
                            f"for nothing; choose from {''.join(LETTERS)}, or {NOTHING}")
        self.data_type, self.thres, self.uniform, self.partition = data_type, thres, uniform, partition
        self.augmentations = [change for letter, change in LETTERS.items() if letter in str(aug_method)]
        self.intra_p, self.inter_p, self.padded_crop = intra_p, inter_p, padded_crop
        self.rows = np.arange(len(self.label))  # of the archive, by clip

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Return the clips (N, C, T, V, M) and their frames' index (N, T), float32; classes and `indices` (N,), int64.

        The random draws are those of as many single items, so that both ways give the same numbers.
        """
        places = [range(len(self))[index] for index in indices]
        self._reader.num_valid(self.rows[places])  # looks at new clips; says which are empty
        clips, positions = zip(*(self._item(place) for place in places), strict=True)
        return (torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 3, 2),  # (N, T, M, V, C) -> (N, C, T, V, M)
                torch.from_numpy(np.stack(positions)), torch.from_numpy(self.label[places]),
                torch.as_tensor(indices, dtype=torch.int64))

    def _item(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a clip (T, M, V, C) and its frames' index (T,), both float32."""
        num_seen = int(self.observation.frames(self._reader.num_valid([self.rows[place]]))[0])
        lower, upper, weight = self._plan(num_seen)
        clip = self._frames(place, lower, upper, weight)
        position = 2 * (lower + (upper - lower) * weight) / max(num_seen, 1) - 1
        if self.split == "train":
            clip, position = self._augmented(place, clip, position)
        if "b" in self.data_type:
            clip = clip - clip[:, :, PARENTS]
        if "m" in self.data_type:
            clip = transforms.motion(clip[None])[0]
        if self.partition:
            clip = clip[:, :, NTU_ORDER]
        return np.ascontiguousarray(clip, np.float32), np.asarray(position, np.float32)

    def _plan(self, num_valid: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which frames to take of `num_valid`: two of each (W,), and how much of the second."""
        first, length = self._crop(num_valid)
        window = self.window_size
        if not self.uniform or length < window:
            spans = transforms.Spans(np.array([first]), np.array([length]))
            return tuple(part[0] for part in transforms.plan_resampling(spans, window))  # type: ignore[return-value]
        frames = first + (self._even(length) if len(self.p_interval) == 1 else self._drawn(length))
        return frames, frames, np.zeros(window, np.float32)

    def _crop(self, num_valid: int) -> tuple[int, int]:
        """Return the first frame to use, and how many."""
        least = self.p_interval[0]
        if len(self.p_interval) == 2:
            if not num_valid:
                return 0, 0
            share = np.random.random() * (self.p_interval[1] - least) + least
            length = min(max(int(num_valid * share), self.thres), num_valid)
            return int(np.random.randint(0, num_valid - length + 1)), length
        first = int((1 - least) * num_valid / 2)
        if not self.uniform:
            return first, num_valid - 2 * first
        length = min(max(int(num_valid * least), self.thres), num_valid)
        return first if self.padded_crop else min(first, num_valid - length), length

    def _even(self, length: int) -> np.ndarray:
        return np.arange(self.window_size) * length // self.window_size

    def _drawn(self, length: int) -> np.ndarray:
        """Draw W of `length` frames, in order: all but some, or one from each of W parts."""
        window = self.window_size
        if length < 2 * window:
            left_out = np.zeros(window + 1, np.int64)
            left_out[np.random.choice(window + 1, length - window, replace=False)] = 1
            return np.arange(window) + np.cumsum(left_out)[:window]
        bounds = np.arange(window + 1) * length // window
        return bounds[:-1] + np.random.randint(np.diff(bounds))

    def _frames(self, place: int, lower: np.ndarray, upper: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return frames of a clip, (W, M, V, C) float32; zeros beyond its last one."""
        row = self.rows[place]
        last = max(int(self._reader.num_valid([row])[0]) - 1, 0)
        plan = transforms.Resampling(np.minimum(lower, last)[None], np.minimum(upper, last)[None], weight[None])
        clip = np.zeros((len(lower), NUM_BODIES, NUM_JOINTS, NUM_COORDINATES), np.float32)
        tracks = self._reader.resized([row], plan)
        clip[:, tracks.body] = tracks.joints.swapaxes(0, 1)
        clip[lower > last] = 0
        return clip

    def _augmented(self, place: int, clip: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        drawn = np.random.random()
        if drawn < self.intra_p:
            for change in self.augmentations:
                clip, position = change(clip, position)
        elif drawn < self.intra_p + self.inter_p:
            other = random.choice(np.flatnonzero(self.label == self.label[place]).tolist())
            num_valid = int(self._reader.num_valid([self.rows[other]])[0])
            frames = np.rint((position + 1) * num_valid / 2).astype(np.int64).clip(0, max(num_valid - 1, 0))
            clip = with_lengths_of(clip, self._frames(other, frames, frames, np.zeros(len(frames), np.float32)))
        return clip, position
