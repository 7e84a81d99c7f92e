"""Reads spans of frames out of a mapped archive, resized to a window: only the rows it needs, a whole batch at a time.

Whatever the layout, a clip is a number of equal rows at computable places of one flat array: a frame of both bodies in
the Kaggle layout, one coordinate of a frame in the converted one. So a batch is one gather, wherever its clips lie.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from skeleton_lab.data import clips
from skeleton_lab.data.layouts import CONVERTED, NUM_COORDINATES, Split, as_frames, require_finite
from skeleton_lab.errors import UserError

UNKNOWN = -1


class SpanReader:
    """Reads clips of one split.

    The number of valid frames of a clip is found when the clip is first asked for, and so is whether all its numbers
    are finite. Both are remembered, by all processes that share this object (loader workers) at once.
    """

    def __init__(self, split: Split, in_memory: bool = False) -> None:
        """Read `split` from its file as clips are asked for, or all of it now (`in_memory`)."""
        self._split, self._in_memory = split, in_memory
        self._num_valid = torch.full((split.num_clips,), UNKNOWN, dtype=torch.int32).share_memory_()
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
                known[index] = self._count_valid(index)
        return known[list(indices)].astype(np.int64)

    def resized(self, indices: Sequence[int], spans: clips.Spans, window: int) -> np.ndarray:
        """Return the spans resized to `window` frames, (N, T, M, V, C) float32; zeros for a span without frames."""
        plan = clips.plan_resampling(spans, window)
        clip = np.asarray(indices)
        lower, upper = self._gather(clip, plan.lower), self._gather(clip, plan.upper)
        weight = plan.weight[:, None] if self._split.layout == CONVERTED else plan.weight
        mixed = clips.mix_frames(lower, upper, weight)
        mixed[spans.length == 0] = 0
        if self._split.layout == CONVERTED:
            mixed = mixed.reshape(*mixed.shape[:3], *self._array.shape[3:])  # (N, C, T, V, M)
        return np.ascontiguousarray(as_frames(mixed, self._split.layout))

    def _count_valid(self, index: int) -> int:
        clip = self._array[index]
        require_finite(clip, self._split.path, self._split.split, index)
        if self._split.layout == CONVERTED:  # (C, T, V, M)
            return int((clip != 0).any(axis=(2, 3)).any(axis=0).sum())
        return int((clip != 0).any(axis=1).sum())

    def _gather(self, clip: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return frames (N, T) of clips (N,): (N, T, 150) in the Kaggle layout, (N, C, T, V*M) in the converted one."""
        if self._split.layout == CONVERTED:
            clip, frames = clip[:, None] * NUM_COORDINATES + np.arange(NUM_COORDINATES), frames[:, None]  # (N, C)
        places = clip[..., None] * self._split.num_frames + frames
        return np.take(self._rows, places).view(np.float32).reshape(*places.shape, -1)


def _flat_rows(array: np.ndarray, split: Split) -> np.ndarray:
    """View (N, T, 150) as (N*T,) rows, (N, C, T, V, M) as (N*C*T,); a row is one item, so that it moves in one piece.

    Raises:
        UserError: the array is in Fortran order, where rows are scattered.
    """
    if not array.flags.c_contiguous:
        raise UserError(f"{split.path}: '{split.header.data.key}' is in Fortran order, which cannot be read clip by "
                        "clip; save it again from numpy.ascontiguousarray(...)")
    row_values = int(np.prod(array.shape[3:] if split.layout == CONVERTED else array.shape[2:]))
    return array.reshape(-1, row_values).view(f"V{row_values * array.itemsize}")[:, 0]
