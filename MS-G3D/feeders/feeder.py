"""MS-G3D's data set: a `.npy` file of clips, mapped from disk, and a pickle of their names and labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from feeders import tools
from skeleton_lab.data.feeders.empty_clips import EmptyClips
from skeleton_lab.data.feeders.feeding import NUM_DEBUG_SAMPLES, BatchFeeder
from skeleton_lab.data.feeders.observation import Observation, observed_clip, repeats_to_the_end
from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.about import read_beside
from skeleton_lab.data.formats.labels import read_labels
from skeleton_lab.data.formats.layouts import all_finite
from skeleton_lab.errors import UserError
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import OPENPOSE_18, skeleton_with

NO_SPREAD = 1e-6  # a standard deviation below this share of the mean is rounding


class Feeder(BatchFeeder):
    """Clips as they lie in the file, padded, cropped or augmented where asked.

    Args:
        data_path: `.npy`, float (N, C, T, V, M).
        label_path: pickle of (sample names, labels).
        random_choose: take `window_size` frames from a random place; pad a shorter clip at a random place.
        random_shift: move the span of non-empty frames to a random place.
        random_move: turn, scale and shift each clip at random in the x-y plane, gliding over time.
        window_size: pad shorter clips at the end to this many frames; longer ones stay whole, unless `random_choose`.
            Not positive: leave all frames.
        normalization: subtract each joint's mean over the file and divide by its standard deviation; a coordinate that
            never varies is only centred.
        debug: use the first 100 clips only.
        use_mmap: False reads the whole file into memory.
        observe: share of a clip's valid frames to keep, from the first one on, before all else; what follows them in
            the file, repetitions or zeros, follows these. Two numbers: drawn between them for each clip.

    Attributes:
        data: (N, C, T, V, M). label: (N,) int64. sample_name: list of N str. class_names, skeleton: as the file beside
        label_path says (val_about.json beside val_label.pkl), else None. files: paths of what is read. mean_map,
        std_map: (C, 1, V, 1) float32, with `normalization`.

    Raises:
        UserError: a file is missing, damaged or of the wrong shape, the files differ in length, or `random_choose` has
            no window. A clip with NaN: when it is asked for.
    """

    def __init__(
        self,
        data_path: str,
        label_path: str,
        random_choose: bool = False,
        random_shift: bool = False,
        random_move: bool = False,
        window_size: int = -1,
        normalization: bool = False,
        debug: bool = False,
        use_mmap: bool = True,
        observe: float | Sequence[float] = 1,
    ) -> None:
        if random_choose and window_size <= 0:
            raise UserError(f"feeders.feeder.Feeder: random_choose needs a window, but window_size is {window_size}; "
                            "give window_size, 64 for instance, or set random_choose to False")
        self.data_path, self.label_path, self.debug, self.use_mmap = data_path, label_path, debug, use_mmap
        self.random_choose, self.random_shift, self.random_move = random_choose, random_shift, random_move
        self.window_size, self.normalization = window_size, normalization
        self.observation = Observation.of(observe, "feeders.feeder.Feeder")
        self.files = [data_path, label_path]
        names, labels = read_labels(_existing(label_path))
        about = read_beside(label_path)
        self.class_names, self.skeleton = about.class_names, about.skeleton
        self.data = self._open()
        if len(self.data) != len(labels):
            raise UserError(f"{data_path}: {len(self.data)} clips, but {label_path} labels {len(labels)}; make both "
                            "files anew, in one run")
        used = slice(NUM_DEBUG_SAMPLES if debug else None)
        self.data, self.sample_name, self.label = self.data[used], names[used], np.array(labels[used], np.int64)
        self._empty = EmptyClips(data_path, len(self.label))
        self._repeats = not self.observation.whole and repeats_to_the_end(self.data)
        if normalization:
            self.mean_map, self.std_map = self._statistics()

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the clips (N, C, T, V, M) float32, their labels (N,) and `indices` (N,), both int64.

        The random draws are those of as many single items.
        """
        rows = [range(len(self))[index] for index in indices]
        if (self.normalization or self.random_shift or self.random_choose or self.window_size > 0 or self.random_move
                or not self.observation.whole):
            clips = np.stack([self._transformed(self.data[row]) for row in rows]).astype(np.float32, copy=False)
        else:
            clips = self.data[rows].astype(np.float32, copy=False)
        self._require_finite(clips, rows)
        for row, clip in zip(rows, clips, strict=True):
            if not clip[:, 0].any() and not clip.any():  # the first frame decides, as a rule
                self._empty.found(row, f"sample {row} ({self.sample_name[row]})")
        return torch.from_numpy(clips), torch.from_numpy(self.label[rows]), torch.as_tensor(indices, dtype=torch.int64)

    def recorded(self, index: int) -> SkeletonClip:
        """Return a clip as the file has it, to be looked at; of a file of bones, from the file of joints beside it.

        Raises:
            UserError: there is no such file, or no skeleton with this number of joints is known.
        """
        joints = self.data
        if "_bone" in Path(self.data_path).name:
            joints = archive.map_array(_existing(self.data_path.replace("_bone", "_joint")))
        frames = np.array(joints[index].transpose(1, 3, 2, 0), np.float32)  # (C, T, V, M) -> (T, M, V, C)
        skeleton = self.skeleton or skeleton_with(frames.shape[2])
        if skeleton is OPENPOSE_18:
            frames[..., 2] = 0  # a confidence, not a depth
        return SkeletonClip(frames, skeleton, self.sample_name[index])

    def __getstate__(self) -> dict[str, Any]:
        """Leave the clips out when a loader process gets a copy: it maps the file itself."""
        return {name: value for name, value in vars(self).items() if name != "data"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.data = self._open()[:len(self.label)]

    def _open(self) -> np.ndarray:
        """Map or read the clips."""
        data = archive.map_array(_existing(self.data_path))
        if data.ndim != 5 or data.dtype.kind != "f":
            raise UserError(f"{self.data_path}: {data.dtype} of shape {data.shape}, not float clips (N, C, T, V, M); "
                            "check the file, or make it anew")
        return np.asarray(data) if self.use_mmap else np.array(data)

    def _transformed(self, clip: np.ndarray) -> np.ndarray:
        """Return one clip (C, T, V, M), read-only from the file, after the transforms asked for."""
        if not self.observation.whole:
            clip = observed_clip(clip, self.observation, self._repeats)
        if self.normalization:
            clip = (clip - self.mean_map) / self.std_map
        if self.random_shift:
            clip = tools.random_shift(clip)
        if self.random_choose:
            clip = tools.random_choose(clip, self.window_size)
        elif self.window_size > 0:
            clip = tools.auto_pading(clip, self.window_size)
        return tools.random_move(clip.copy()) if self.random_move else clip

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation over clips, frames and bodies, (C, 1, V, 1) float32; one pass."""
        _, channels, _, joints, _ = self.data.shape
        count, mean, squares = 0, np.zeros((channels, 1, joints, 1)), np.zeros((channels, 1, joints, 1))
        for rows in archive.blocks(len(self), self.data[:1].nbytes):
            block = self.data[rows].astype(np.float64)
            self._require_finite(block, range(len(self))[rows])
            values = np.moveaxis(block, (1, 3), (0, 1)).reshape(channels, 1, joints, -1)  # (C, 1, V, n*T*M)
            block_mean = values.mean(axis=3, keepdims=True)
            step, new_count = block_mean - mean, count + values.shape[3]
            squares += ((values - block_mean) ** 2).sum(axis=3, keepdims=True)
            squares += step**2 * count * values.shape[3] / new_count
            mean += step * values.shape[3] / new_count
            count = new_count
        std = np.sqrt(squares / max(count, 1))
        std[std <= NO_SPREAD * np.abs(mean)] = 1
        return mean.astype(np.float32), std.astype(np.float32)

    def _require_finite(self, clips: np.ndarray, rows: Sequence[int]) -> None:
        """Refuse NaN and infinity in (n, C, T, V, M); `rows` are the clips' places in the file."""
        if all_finite(clips):
            return
        row = next(row for row, clip in zip(rows, clips, strict=True) if not all_finite(clip))
        raise UserError(f"{self.data_path}: sample {row} ({self.sample_name[row]}) holds NaN or infinite values; "
                        "make the file anew, or take the sample out")


def _existing(path: str) -> str:
    """Return `path` if there is such a file; else raise a UserError with the command that makes it."""
    if Path(path).exists():
        return path
    joint_path = path.replace("_bone", "_joint")
    if joint_path != path and Path(joint_path).exists():
        folders = Path(path).resolve().parts
        dataset = next((name for name in ("kinetics", "ntu120") if name in folders), "ntu")
        remedy = f"make it from the joints: cd data_gen && python3 gen_bone_data.py --dataset {dataset}"
    else:
        remedy = "make it with convert_ctr_npz_to_msg3d.py or the scripts of data_gen"
    raise UserError(f"{path}: no such file; {remedy}")
