"""NTU RGB+D 60 and 120: clips of an archive, mapped from its file, cropped and resized over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from skeleton_lab.data.feeders import transforms
from skeleton_lab.data.feeders.feeding import NUM_DEBUG_SAMPLES, BatchFeeder, titled
from skeleton_lab.data.feeders.observation import Observation
from skeleton_lab.data.feeders.spans import SpanReader, Tracks, open_clips
from skeleton_lab.data.formats.about import read_about, require_skeleton
from skeleton_lab.data.formats.layouts import NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from skeleton_lab.errors import UserError
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import NTU_25

CLIPS_AT_ONCE = 16  # what the transforms of these hold stays in the processor's cache


class Feeder(BatchFeeder):
    """Clips of two bodies and 25 joints, cropped and resized over time.

    Args:
        data_path: archive with `x_<split>` and `y_<split>`: clips as (N, T, 150), as (N, C, T, V, M), or packed
            (dataset_tools/pack_npz.py).
        label_path: refused; the labels are in the archive.
        p_interval: share of a clip's valid frames to use: one number for the middle part (testing), or two for a random
            part between those shares and at least 64 frames long (training).
        split: "train" or "test".
        random_choose, random_shift, random_move: refused if True; `p_interval` and `random_rot` take their place.
        random_rot: turn each clip at random, up to 0.3 rad about each axis.
        window_size: frames per clip; the used part is resized to it.
        normalization: refused if True; the model's first BatchNorm normalises.
        debug: use the first 100 clips only.
        use_mmap: False reads the whole split into memory.
        bone: give each joint relative to its neighbour towards the centre of the body.
        vel: give the steps from each frame to the next; of the bones, with `bone`.
        observe: share of a clip's valid frames that is seen, from the first one on; `p_interval` is a share of that
            part. Two numbers: drawn between them for each clip.

    Attributes:
        label: (N,) int64 classes. sample_name: "train_0", ... or "test_0", ...: the row in the archive. class_names: as
        the archive says, else None. skeleton: NTU RGB+D's. files: paths of what is read.

    Raises:
        UserError: an option is refused, or the archive is missing or broken (a clip with NaN: when it is asked for).
    """

    skeleton = NTU_25
    channels = NUM_COORDINATES  # of a joint, as `_streamed` returns them

    def __init__(
        self,
        data_path: str,
        label_path: str | None = None,
        p_interval: float | Sequence[float] = 1,
        split: str = "train",
        random_choose: bool = False,
        random_shift: bool = False,
        random_move: bool = False,
        random_rot: bool = False,
        window_size: int = -1,
        normalization: bool = False,
        debug: bool = False,
        use_mmap: bool = True,
        bone: bool = False,
        vel: bool = False,
        observe: float | Sequence[float] = 1,
    ) -> None:
        _refuse({"label_path": label_path, "random_choose": random_choose, "random_shift": random_shift,
                 "random_move": random_move, "normalization": normalization})
        self.window_size = _window(window_size)
        self.p_interval = _shares(p_interval)
        self.split, self.random_rot, self.bone, self.vel = split, random_rot, bone, vel
        self.observation = Observation.of(observe, "feeders.feeder_ntu.Feeder")
        self.files = [data_path]
        opened = open_clips(data_path, split)
        self._reader = SpanReader(opened, in_memory=not use_mmap)
        about = read_about(data_path, self.skeleton)
        require_skeleton(about, self.skeleton, data_path)
        self.class_names, self._clip_names = about.class_names, about.clip_names.get(split, ())
        self.label: np.ndarray = opened.labels[:NUM_DEBUG_SAMPLES if debug else None]
        self.sample_name = [f"{split}_{row}" for row in range(len(self.label))]

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the clips (N, C, T, V, M) float32, their classes (N,) and `indices` (N,), both int64.

        The random draws are those of as many single items, so that both ways give the same numbers.
        """
        rows = [range(len(self))[index] for index in indices]
        plan = self._plan(rows, self.observation.frames(self._reader.num_valid(rows)))
        turns = transforms.draw_rotations(len(rows)) if self.random_rot else None
        data = np.zeros((len(rows), NUM_BODIES, self.window_size, NUM_JOINTS, self.channels), np.float32)
        for start in range(0, len(rows), CLIPS_AT_ONCE):
            some = slice(start, start + CLIPS_AT_ONCE)
            tracks = self._reader.resized(rows[some], plan.of(some))
            data[some][tracks.clip, tracks.body] = self._transformed(tracks, None if turns is None else turns[some])
        return (torch.from_numpy(data).permute(0, 4, 2, 3, 1),  # (N, M, T, V, C) -> (N, C, T, V, M)
                torch.from_numpy(self.label[rows]), torch.as_tensor(indices, dtype=torch.int64))

    def recorded(self, index: int) -> SkeletonClip:
        """Return a clip as it was recorded, before any transform, to be looked at."""
        title = titled(self.sample_name, self._clip_names, index)
        return SkeletonClip(self._reader.frames(index), self.skeleton, title)

    def _transformed(self, tracks: Tracks, turns: np.ndarray | None) -> np.ndarray:
        """Return the joints of tracks (K, T, V, C) after everything that the options ask for."""
        joints = tracks.joints
        if turns is not None:
            joints = transforms.rotate(joints, turns[tracks.clip])
        return self._streamed(joints)

    def _streamed(self, joints: np.ndarray) -> np.ndarray:
        """Return the stream that the options ask for, of joints (K, T, V, C)."""
        if self.bone:
            joints = transforms.bones(joints, NTU_25.parents)
        if self.vel:
            joints = transforms.motion(joints)
        return joints

    def _plan(self, rows: Sequence[int], num_seen: np.ndarray) -> transforms.Resampling:
        """Return which frames to take of the clips in `rows` (N,), of which the first `num_seen` (N,) frames count."""
        return transforms.plan_resampling(self._spans(num_seen), self.window_size)

    def _spans(self, num_valid: np.ndarray) -> transforms.Spans:
        if len(self.p_interval) == 1:
            return transforms.centre_spans(num_valid, *self.p_interval)
        return transforms.draw_spans(num_valid, *self.p_interval)


def _refuse(options: dict[str, object]) -> None:
    advice = {"label_path": "the labels come from data_path; leave it out",
              "random_choose": "p_interval with two numbers takes a random part of each clip",
              "random_shift": "clips are resized to the window and leave no room; set it to False",
              "random_move": "random_rot turns clips at random; set it to False",
              "normalization": "the model's first BatchNorm normalises; set it to False"}
    for name, value in options.items():
        if value:
            raise UserError(f"feeders.feeder_ntu.Feeder: {name}={value} is not supported; {advice[name]}")


def _window(window_size: int) -> int:
    if not isinstance(window_size, int) or isinstance(window_size, bool) or window_size < 1:
        raise UserError(f"feeders.feeder_ntu.Feeder: window_size={window_size!r} is no number of frames; give a "
                        "positive whole number, 64 as in the paper")
    return window_size


def _shares(p_interval: float | Sequence[float]) -> tuple[float, ...]:
    shares = tuple(p_interval) if isinstance(p_interval, Sequence) else (p_interval,)
    if (len(shares) not in (1, 2) or not all(isinstance(share, int | float) and 0 < share <= 1 for share in shares)
            or list(shares) != sorted(shares)):
        raise UserError(f"feeders.feeder_ntu.Feeder: p_interval={p_interval!r} is no share of a clip; give one "
                        "number in (0, 1], or two in ascending order, such as [0.5, 1]")
    return shares
