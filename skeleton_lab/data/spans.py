"""Reads spans of frames out of a mapped archive, resized to a window: only the rows it needs, many clips at a time.

A clip has a track for each body that is in it at all: most clips of NTU RGB+D have one, and an absent body costs
nothing here. A track's frames are equal rows at computable places of one flat array, so that many tracks are one
gather, wherever they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from skeleton_lab.data.clips import Resampling, mix_frames
from skeleton_lab.data.layouts import CONVERTED, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS, Split, require_finite
from skeleton_lab.errors import UserError

UNKNOWN = -1


class Tracks(NamedTuple):
    """Bodies of some clips: `joints` (K, T, V, C) float32, of body `body` (K,) in the clip at position `clip` (K,)."""

    joints: np.ndarray
    clip: np.ndarray
    body: np.ndarray


class SpanReader:
    """Reads clips of one split.

    What a clip holds (how many frames, which bodies, only finite numbers) is found when it is first asked for, and
    remembered by all processes that share this object (loader workers) at once.
    """

    def __init__(self, split: Split, in_memory: bool = False) -> None:
        """Read `split` from its file as clips are asked for, or all of it now (`in_memory`)."""
        self._split, self._in_memory = split, in_memory
        self._num_valid = torch.full((split.num_clips,), UNKNOWN, dtype=torch.int32).share_memory_()
        self._present = torch.zeros((split.num_clips, NUM_BODIES), dtype=torch.bool).share_memory_()
        self._open()

    def _open(self) -> None:
        self._array = np.array(self._split.array) if self._in_memory else np.asarray(self._split.array)
        self._rows = _flat_rows(self._array, self._split)

    def __getstate__(self) -> dict[str, object]:
        """Leave the clips out: another process opens the file itself."""
        return {name: value for name, value in vars(self).items() if name not in ("_array", "_rows")}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._open()

    def num_valid(self, indices: Sequence[int]) -> np.ndarray:
        """Return (N,) int64: how many frames of each clip are not empty.

        Raises:
            UserError: a clip holds a number that is not finite.
        """
        known = self._num_valid.numpy()
        for index in indices:
            if known[index] == UNKNOWN:
                self._look_at(index)
        return known[list(indices)].astype(np.int64)

    def resized(self, indices: Sequence[int], plan: Resampling) -> Tracks:
        """Return the bodies of the clips at `indices` (N,), resized as planned; ask for `num_valid` of them first."""
        clip, body = np.nonzero(self._present.numpy()[list(indices)])
        read = self._read_converted if self._split.layout == CONVERTED else self._read_rows
        return Tracks(read(np.asarray(indices), clip, body, plan), clip, body)

    def _look_at(self, index: int) -> None:
        clip = self._array[index]
        require_finite(clip, self._split.path, self._split.split, index)
        if self._split.layout == CONVERTED:  # (C, T, V, M)
            occupied = (clip != 0).any(axis=2).any(axis=0)  # (T, M)
        else:  # (T, M*V*C)
            occupied = (clip != 0).reshape(len(clip), NUM_BODIES, -1).any(axis=2)
        self._present.numpy()[index] = occupied.any(axis=0)
        self._num_valid.numpy()[index] = occupied.any(axis=1).sum()  # last: other processes take it for a sign

    def _read_rows(self, indices: np.ndarray, clip: np.ndarray, body: np.ndarray, plan: Resampling) -> np.ndarray:
        """Return (K, T, V, C) from the Kaggle layout, where a row is a body in a frame."""
        first = indices[clip] * self._split.num_frames  # (K,), in frames
        lower, upper = (self._take((first[:, None] + frames[clip]) * NUM_BODIES + body[:, None])
                        for frames in (plan.lower, plan.upper))
        return mix_frames(lower, upper, plan.weight[clip]).reshape(*lower.shape[:2], NUM_JOINTS, NUM_COORDINATES)

    def _read_converted(self, indices: np.ndarray, clip: np.ndarray, body: np.ndarray, plan: Resampling) -> np.ndarray:
        """Return (K, T, V, C) from the converted layout, where a row is one coordinate of both bodies in a frame."""
        first = (indices[:, None] * NUM_COORDINATES + np.arange(NUM_COORDINATES)) * self._split.num_frames  # (N, C)
        lower, upper = (self._take(first[..., None] + frames[:, None]) for frames in (plan.lower, plan.upper))
        weight = np.repeat(plan.weight[:, None], NUM_COORDINATES, axis=1)
        mixed = mix_frames(lower, upper, weight).reshape(*lower.shape[:3], NUM_JOINTS, NUM_BODIES)  # (N, C, T, V, M)
        return np.ascontiguousarray(mixed.transpose(0, 4, 2, 3, 1)[clip, body])  # (K, T, V, C)

    def _take(self, places: np.ndarray) -> np.ndarray:
        """Return the rows at `places` (...,) as (..., values of a row) float32."""
        return np.take(self._rows, places).view(np.float32).reshape(*places.shape, self._rows.itemsize // 4)


def _flat_rows(array: np.ndarray, split: Split) -> np.ndarray:
    """View (N, T, M*V*C) as rows of V*C, (N, C, T, V, M) as rows of V*M; a row is one item, to be moved in one piece.

    Raises:
        UserError: the array is in Fortran order, where rows are scattered.
    """
    if not array.flags.c_contiguous:
        raise UserError(f"{split.path}: '{split.header.data.key}' is in Fortran order, which cannot be read clip by "
                        "clip; save it again from numpy.ascontiguousarray(...)")
    row_values = NUM_JOINTS * (NUM_BODIES if split.layout == CONVERTED else NUM_COORDINATES)
    return array.reshape(-1, row_values).view(f"V{row_values * array.itemsize}")[:, 0]
