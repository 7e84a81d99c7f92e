"""Reads spans of frames out of a mapped archive, resized to a window: only the rows it needs, many clips at a time.

A clip has a track for each body that is in it at all: most clips of NTU RGB+D have one, and an absent body costs
nothing here. A track's frames are equal rows at computable places of one flat array, so that many tracks are one
gather, wherever they lie.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from skeleton_lab.data.feeders.empty_clips import GAPS, EmptyClips
from skeleton_lab.data.feeders.transforms import Resampling, mix_frames
from skeleton_lab.data.formats import layouts
from skeleton_lab.data.formats.layouts import CONVERTED, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS, Split
from skeleton_lab.data.formats.packed import ABSENT, PACKED, PackedSplit, is_packed, occupancy, open_packed
from skeleton_lab.errors import UserError

UNKNOWN = -1
MAX_MAPPED_CLIPS = 16  # a system with large pages maps up to 1 MB around each clip that is looked at


class Tracks(NamedTuple):
    """Bodies of some clips: `joints` (K, T, V, C) float32, of body `body` (K,) in the clip at position `clip` (K,)."""

    joints: np.ndarray
    clip: np.ndarray
    body: np.ndarray


def open_clips(path: str | Path, split: str) -> Split | PackedSplit:
    """Open one split of an NTU archive, whichever of the three layouts it is in.

    Raises:
        UserError: as `layouts.open_split` and `packed.open_packed`.
    """
    if split in (*layouts.SPLITS, layouts.VALIDATION) and is_packed(path, split):
        return open_packed(path, split)
    return layouts.open_split(path, split)


class SpanReader:
    """Reads clips of one split.

    What a clip holds (how many frames, which bodies, only finite numbers) is found when it is first asked for, and
    remembered by all processes that share this object (loader workers) at once. Pages of the file that have been read
    are let go again soon: they stay in the system's cache, but do not count as this process's memory.
    """

    def __init__(self, split: Split | PackedSplit, in_memory: bool = False) -> None:
        """Read `split` from its file as clips are asked for, or all of it now (`in_memory`)."""
        self._split, self._in_memory = split, in_memory
        self._num_valid = torch.full((split.num_clips,), UNKNOWN, dtype=torch.int32).share_memory_()
        self._present = torch.zeros((split.num_clips, NUM_BODIES), dtype=torch.bool).share_memory_()
        self._empty = EmptyClips(split.path, split.num_clips)
        self._open()

    def _open(self) -> None:
        array = np.array(self._split.array) if self._in_memory else self._split.array
        rows = {PACKED: _PackedRows, CONVERTED: _ConvertedRows}.get(self._split.layout, _KaggleRows)
        self._rows = rows(self._split, np.asarray(array))
        self._mapping = array.base if isinstance(array.base, mmap.mmap) else None
        self._num_mapped = 0

    def __getstate__(self) -> dict[str, object]:
        """Leave the clips out: another process opens the file itself."""
        return {name: value for name, value in vars(self).items() if name not in ("_rows", "_mapping")}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._open()

    def frames(self, index: int) -> np.ndarray:
        """Return one clip as it lies in the file, padding included, (T, M, V, C) float32, a copy."""
        return np.array(self._split.frames(index))

    def num_valid(self, indices: Sequence[int]) -> np.ndarray:
        """Return (N,) int64: how many frames of each clip are not empty; say so of clips where none is.

        Raises:
            UserError: a clip holds a number that is not finite.
        """
        known = self._num_valid.numpy()
        for index in indices:
            if known[index] == UNKNOWN:
                num_valid, self._present.numpy()[index], has_gaps = self._rows.look_at(index)
                known[index] = num_valid  # last: other processes take it for a sign
                if num_valid == 0:
                    self._empty.found(index, f"clip {index} of the {self._split.split} split")
                elif has_gaps:
                    self._empty.found(index, f"clip {index} of the {self._split.split} split", GAPS)
                self._mapped(1)
        return known[list(indices)].astype(np.int64)

    def resized(self, indices: Sequence[int], plan: Resampling) -> Tracks:
        """Return the bodies of the clips at `indices` (N,), resized as planned; ask for `num_valid` of them first."""
        clip, body = np.nonzero(self._present.numpy()[list(indices)])
        tracks = Tracks(self._rows.read(np.asarray(indices), clip, body, plan), clip, body)
        self._mapped(len(indices))
        return tracks

    def _mapped(self, num_clips: int) -> None:
        self._num_mapped += num_clips
        if self._num_mapped > MAX_MAPPED_CLIPS:
            self._num_mapped = 0
            if self._mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
                self._mapping.madvise(mmap.MADV_DONTNEED)


class _KaggleRows:
    """(N, T, M*V*C): a row is a body in a frame."""

    row_values = NUM_JOINTS * NUM_COORDINATES

    def __init__(self, split: Split, array: np.ndarray) -> None:
        self._split, self._array, self._flat = split, array, _flat_rows(array, self.row_values, split.path)

    def look_at(self, index: int) -> tuple[int, np.ndarray, bool]:
        """Return a clip's number of frames that are not empty, which bodies are in it (M,), and whether it has gaps.

        Those are empty frames before its last one. NaN is refused.
        """
        clip = self._array[index]
        layouts.require_finite(clip, self._split.path, self._split.split, index)
        occupied = occupancy(clip, self._split.layout)
        frames = np.asarray(occupied.any(axis=1))
        num_valid = int(frames.sum())
        return num_valid, np.asarray(occupied.any(axis=0)), bool(frames[num_valid:].any())

    def read(self, indices: np.ndarray, clip: np.ndarray, body: np.ndarray, plan: Resampling) -> np.ndarray:
        """Return tracks (K, T, V, C): of `body` (K,) in the clips at positions `clip` (K,) of `indices` (N,)."""
        first = (indices[clip] * (self._split.num_frames * NUM_BODIES) + body)[:, None]  # (K, 1)
        lower, upper = (_take(self._flat, first + NUM_BODIES * frames[clip]) for frames in (plan.lower, plan.upper))
        return mix_frames(lower, upper, plan.weight[clip]).reshape(*lower.shape[:2], NUM_JOINTS, NUM_COORDINATES)


class _ConvertedRows(_KaggleRows):
    """(N, C, T, V, M): a row is one coordinate of both bodies in a frame."""

    row_values = NUM_JOINTS * NUM_BODIES

    def read(self, indices: np.ndarray, clip: np.ndarray, body: np.ndarray, plan: Resampling) -> np.ndarray:
        first = (indices[:, None] * NUM_COORDINATES + np.arange(NUM_COORDINATES)) * self._split.num_frames  # (N, C)
        lower, upper = (_take(self._flat, first[..., None] + frames[:, None]) for frames in (plan.lower, plan.upper))
        weight = np.repeat(plan.weight[:, None], NUM_COORDINATES, axis=1)
        mixed = mix_frames(lower, upper, weight).reshape(*lower.shape[:3], NUM_JOINTS, NUM_BODIES)  # (N, C, T, V, M)
        return np.ascontiguousarray(mixed.transpose(0, 4, 2, 3, 1)[clip, body])  # (K, T, V, C)


class _PackedRows:
    """(R, V*C): a row is a body in a frame, rows of a track lie together."""

    def __init__(self, split: PackedSplit, array: np.ndarray) -> None:
        self._split, self._array = split, array
        self._flat = _flat_rows(array, NUM_JOINTS * NUM_COORDINATES, split.path)

    def look_at(self, index: int) -> tuple[int, np.ndarray, bool]:
        length, first_rows = int(self._split.num_valid[index]), self._split.first_rows[index]
        for first in first_rows[first_rows != ABSENT]:
            layouts.require_finite(self._array[first:first + length], self._split.path, self._split.split, index)
        return length, (first_rows != ABSENT) & (length > 0), False

    def read(self, indices: np.ndarray, clip: np.ndarray, body: np.ndarray, plan: Resampling) -> np.ndarray:
        first = self._split.first_rows[indices[clip], body][:, None]  # (K, 1)
        lower, upper = (_take(self._flat, first + frames[clip]) for frames in (plan.lower, plan.upper))
        return mix_frames(lower, upper, plan.weight[clip]).reshape(*lower.shape[:2], NUM_JOINTS, NUM_COORDINATES)


def _take(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the rows at `places` (...,) as (..., values of a row) float32."""
    return np.take(rows, places).view(np.float32).reshape(*places.shape, rows.itemsize // 4)


def _flat_rows(array: np.ndarray, row_values: int, path: Path) -> np.ndarray:
    """View an array as rows of so many values; a row is one item, to be moved in one piece.

    Raises:
        UserError: the array is in Fortran order, where rows are scattered.
    """
    if not array.flags.c_contiguous:
        raise UserError(f"{path}: its clips are in Fortran order, which cannot be read clip by clip; save them again "
                        "from numpy.ascontiguousarray(...)")
    return array.reshape(-1, row_values).view(f"V{row_values * array.itemsize}")[:, 0]
