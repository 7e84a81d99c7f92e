"""Clips of any skeleton, mapped from an archive in the converted layout, for CTR-GCN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from skeleton_lab.data.feeders import transforms
from skeleton_lab.data.feeders.feeding import NUM_DEBUG_SAMPLES, BatchFeeder, titled
from skeleton_lab.data.feeders.observation import Observation
from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.about import read_about, require_skeleton
from skeleton_lab.data.formats.class_indices import read_archive_labels
from skeleton_lab.data.formats.occupied import first_and_stop
from skeleton_lab.errors import UserError, note
from skeleton_lab.imports import load_object
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import Skeleton

_MOST_LOOKED_AT = 64  # clips of an archive, to learn what its third channel is


class Feeder(BatchFeeder):
    """Clips cropped and resized over time as `feeders.feeder_ntu.Feeder` does, with any number of joints and bodies.

    Args:
        data_path: `.npz` with `x_<split>` (N, C=3, T, V, M) float32, zeros in frames without a body, and `y_<split>`
            (N,) class indices (or one-hot); see dataset_tools/convert_*.py. A clip is what lies between its first and
            its last frame with a body.
        split: "train", "test", or "val" where the archive has one.
        skeleton: dotted path of the `Skeleton`, such as skeleton_lab.own_skeletons.UTD_MHAD_20; its V must be the
            archive's.
        p_interval: share of a clip's valid frames to use: [p] for the middle part (testing), [p, q] for a random part
            between those shares and at least 64 frames long (training).
        window_size: frames per clip; the used part is resized to it.
        random_rot: turn each clip at random, up to 0.3 rad about each axis; flat joints about the viewing axis only.
        bone, vel: give bones instead of joints; give the steps from each frame to the next.
        flat: whether joints lie in a picture, x and y, their third channel being scores (or zeros), which no rotation
            and no difference touches: a bone or a step has the mean of its two. None: as the skeleton says, or, if all
            third channels looked at lie within 0 and 1, which depths do not, as these do.
        debug: use the first 100 clips only.
        observe: share of a clip's valid frames that is seen, from the first one on; `p_interval` is a share of that
            part. Two numbers: drawn between them for each clip.

    Attributes:
        label: (N,) int64 classes. sample_name: "train_0", ... or "test_0", ...: the row in the archive. class_names: as
        the archive says, else None. files: paths of what is read.

    Raises:
        UserError: the archive is missing or broken, or an option does not fit it.
    """

    def __init__(self, data_path: str, split: str, skeleton: str, p_interval: Sequence[float] = (1,),
                 window_size: int = 64, random_rot: bool = False, bone: bool = False, vel: bool = False,
                 debug: bool = False, observe: float | Sequence[float] = 1, flat: bool | None = None) -> None:
        self.data_path, self.split, self.files = data_path, split, [data_path]
        self.skeleton = load_object(skeleton)
        if not isinstance(self.skeleton, Skeleton):
            raise UserError(f"feeders.feeder_clips.Feeder: '{skeleton}' is no Skeleton; see skeleton_lab/skeletons.py")
        self.p_interval, self.window_size = tuple(p_interval), window_size
        if len(self.p_interval) not in (1, 2) or not all(0 < share <= 1 for share in self.p_interval):
            raise UserError(f"feeders.feeder_clips.Feeder: p_interval={p_interval} is no share of a clip; give one or "
                            "two numbers in (0, 1]")
        if window_size < 1:
            raise UserError(f"feeders.feeder_clips.Feeder: window_size={window_size} is no number of frames; give 1 "
                            "or more")
        self.random_rot, self.bone, self.vel = random_rot, bone, vel
        self.observation = Observation.of(observe, "feeders.feeder_clips.Feeder")
        self._open()
        about = read_about(data_path, self.skeleton)
        require_skeleton(about, self.skeleton, data_path)
        self.class_names, self._clip_names = about.class_names, about.clip_names.get(split, ())
        self.flat = self._is_flat() if flat is None else flat
        labels = read_archive_labels(data_path, f"y_{split}", len(self._clips))
        if len(labels) != len(self._clips):
            raise UserError(f"{data_path}: 'x_{split}' has {len(self._clips)} clips but 'y_{split}' has {len(labels)} "
                            "labels; make the archive again")
        self.label = labels[:NUM_DEBUG_SAMPLES if debug else None]
        self.sample_name = [f"{split}_{row}" for row in range(len(self.label))]

    def _open(self) -> None:
        if self.split not in ("train", "test", "val"):
            raise UserError(f"feeders.feeder_clips.Feeder: there is no split '{self.split}'; choose train, test or val")
        self._clips = np.asarray(archive.map_array(self.data_path, f"x_{self.split}"))
        shape, num_joints = self._clips.shape, self.skeleton.num_joints
        if len(shape) != 5 or (shape[1], shape[3]) != (3, num_joints) or self._clips.dtype != np.float32:
            raise UserError(f"{self.data_path}: 'x_{self.split}' is {self._clips.dtype} of shape {shape}; "
                            f"{self.skeleton.name} needs float32 (N, 3, T, {num_joints}, M); make the archive again, "
                            "or name its own skeleton")

    def _is_flat(self) -> bool:
        """Return whether the third channel is scores: by the skeleton, else by up to 64 clips, evenly spread."""
        if self.skeleton.flat or not len(self._clips):
            return self.skeleton.flat
        rows = np.unique(np.linspace(0, len(self._clips) - 1, min(len(self._clips), _MOST_LOOKED_AT)).astype(int))
        third = [self._clips[row, 2] for row in rows]
        flat = all(channel.min(initial=0) >= 0 and channel.max(initial=0) <= 1 for channel in third)
        if flat:
            note(f"{self.data_path}: the third channel lies within 0 and 1, so joints are taken for flat ones with "
                 "scores (or zeros): they turn about the viewing axis only; flat=False in the feeder's arguments says "
                 "that it is a depth")
        return flat

    def __getstate__(self) -> dict[str, object]:
        """Leave the clips out: another process opens the file itself."""
        return {name: value for name, value in vars(self).items() if name != "_clips"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._open()

    def recorded(self, index: int) -> SkeletonClip:
        """Return a clip as it was recorded, before any transform, to be looked at."""
        frames = self._clips[index].transpose(1, 3, 2, 0)  # (C, T, V, M) -> (T, M, V, C)
        return SkeletonClip(np.array(frames), self.skeleton, titled(self.sample_name, self._clip_names, index))

    def _spans(self, frames: np.ndarray) -> transforms.Spans:
        """Return which part of each clip (N, T, M, V, C) to use, of what lies between its first and last body."""
        first, stop = first_and_stop((frames != 0).any(axis=(2, 3, 4)))
        num_valid = self.observation.frames(stop - first)
        of_valid = (transforms.centre_spans(num_valid, *self.p_interval) if len(self.p_interval) == 1
                    else transforms.draw_spans(num_valid, *self.p_interval))
        return transforms.Spans(of_valid.first + first, of_valid.length)

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the clips (N, C, T, V, M) float32, their classes (N,) and `indices` (N,), both int64."""
        rows = [range(len(self))[index] for index in indices]
        frames = np.ascontiguousarray(self._clips[rows].transpose(0, 2, 4, 3, 1))  # (N, C, T, V, M) -> (N, T, M, V, C)
        if not np.isfinite(frames).all():
            raise UserError(f"{self.data_path}: one of the clips {rows} of 'x_{self.split}' holds a number that is not "
                            "finite; make the archive again")
        joints = transforms.resize_whole(frames, transforms.plan_resampling(self._spans(frames), self.window_size))
        there = joints.any(axis=(3, 4))[..., None, None]  # (N, W, M, 1, 1): nothing is made of a body that is not there
        if self.random_rot:
            draw = transforms.draw_turns if self.flat else transforms.draw_rotations
            joints = transforms.rotate(joints, draw(len(rows)))
        if self.bone:
            joints = transforms.bones(joints, self.skeleton.parents, self.flat)
        if self.vel:
            joints = transforms.motion(joints, self.flat)
            joints[:, :-1] *= there[:, :-1] & there[:, 1:]
        data = torch.from_numpy(np.ascontiguousarray(joints.transpose(0, 4, 1, 3, 2)))  # -> (N, C, T, V, M)
        return data, torch.from_numpy(self.label[rows]), torch.as_tensor(indices, dtype=torch.int64)
