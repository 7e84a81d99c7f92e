"""Packed archives: clips without padding and without absent bodies, about a sixth of NTU RGB+D's padded size.

For each split, three arrays in an uncompressed `.npz`:

- `x_<split>` (R, V*C) float32: rows, each one body in one frame, coordinate fastest; a body's frames lie together;
- `tracks_<split>` (N, 1 + M) int64: for each clip its number of frames, and for each body the row of its first frame,
  -1 where the body is absent;
- `y_<split>`: the labels, as they were.

Only valid frames are kept, as CTR-GCN's feeder counts them: those that are not empty, taken to stand in front. The
order of the clips stays, so that names such as `test_17` mean the same clip.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats import archive, layouts
from skeleton_lab.data.formats.class_indices import form_of, nothing
from skeleton_lab.data.formats.layouts import CONVERTED, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS, SplitHeader
from skeleton_lab.errors import UserError, note

PACKED = "packed"
ROW_VALUES = NUM_JOINTS * NUM_COORDINATES
ABSENT = -1


class PackedSplit:
    """The clips and labels of one split of a packed archive, mapped from their file: see `open_packed`.

    Attributes:
        path, split: where it comes from. layout: "packed".
        array: the rows as they lie in the file: a read-only float32 map (R, V*C).
        num_valid: (N,) int64 frames of each clip. first_rows: (N, M) int64, the row of each body's first frame or -1.
        labels: (N,) int64 class indices. num_classes: number of classes if the file tells, else None.
        num_clips: N. num_frames: the frames of the longest clip.

    A split sent to another process is opened again there; its clips are not copied.
    """

    layout = PACKED

    def __init__(self, header: SplitHeader, array: np.ndarray, tracks: np.ndarray, labels: np.ndarray) -> None:
        self.path, self.split, self.num_classes = header.path, header.split, header.num_classes
        self.array, self.labels = array, labels
        self.num_valid, self.first_rows = tracks[:, 0], tracks[:, 1:]
        self.num_clips, self.num_frames = len(tracks), int(self.num_valid.max())

    def __len__(self) -> int:
        return self.num_clips

    def __reduce__(self):
        return open_packed, (self.path, self.split, nothing)

    def frames(self, index: int) -> np.ndarray:
        """Return clip `index` as (T, M, V, C) float32: a fresh array of its valid frames."""
        length = self.num_valid[index]
        clip = np.zeros((length, NUM_BODIES, NUM_JOINTS, NUM_COORDINATES), np.float32)
        for body, first in enumerate(self.first_rows[index]):
            if first != ABSENT:
                clip[:, body] = self.array[first:first + length].reshape(length, NUM_JOINTS, NUM_COORDINATES)
        return clip


def occupancy(clip: np.ndarray, layout: str) -> np.ndarray:
    """Return (T, M) bool: in which frames of a clip, (T, M*V*C) or (C, T, V, M), which body is not all zeros."""
    if layout == CONVERTED:
        return (clip != 0).any(axis=0).any(axis=1)
    return (clip != 0).reshape(len(clip), NUM_BODIES, -1).any(axis=2)


def is_packed(path: str | Path, split: str) -> bool:
    """Return whether the file is an archive whose split is packed; UserError if it cannot be read at all."""
    return f"tracks_{split}" in archive.list_arrays(path)


def open_packed(path: str | Path, split: str, say: Callable[[str], None] = note) -> PackedSplit:
    """Open one split of a packed archive: map its rows, read where each clip lies and its labels.

    Args:
        say: is given a line where labels begin at 1.

    Raises:
        UserError: an array is missing, has the wrong shape or type, or points outside the rows.
    """
    path = Path(path)
    headers = archive.list_arrays(path)
    missing = [key for key in (f"x_{split}", f"tracks_{split}", f"y_{split}") if key not in headers]
    if missing:
        raise UserError(f"{path}: has no '{missing[0]}', only {', '.join(headers)}; pack the archive again")
    data, tracks, label = (headers[f"{name}_{split}"] for name in ("x", "tracks", "y"))
    num_clips = tracks.shape[0] if tracks.shape else 0
    if (tracks.shape != (num_clips, 1 + NUM_BODIES) or tracks.dtype != np.int64 or data.dtype != np.float32
            or len(data.shape) != 2 or data.shape[1] != ROW_VALUES or not num_clips):
        raise UserError(f"{path}: the {split} split is not packed as it should be ('{data.key}' {data.shape} "
                        f"{data.dtype}, '{tracks.key}' {tracks.shape} {tracks.dtype}); pack it again")
    form = form_of(label.shape, label.dtype, f"{path}: '{label.key}'", num_clips)
    if form.num_labels != num_clips:
        raise UserError(f"{path}: '{tracks.key}' has {num_clips} clips but '{label.key}' has {form.num_labels} labels; "
                        "pack it again")
    header = SplitHeader(path, split, PACKED, layouts.ONE_HOT if form.one_hot else layouts.CLASS_INDEX,
                         form.num_columns, tracks, label)
    places = np.array(archive.map_array(path, tracks.key))
    num_valid, first = places[:, :1], places[:, 1:]
    if (num_valid < 0).any() or (first < ABSENT).any() or (first + num_valid > data.shape[0]).any():
        raise UserError(f"{path}: '{tracks.key}' points outside the {data.shape[0]} rows of '{data.key}'; pack it "
                        "again")
    return PackedSplit(header, archive.map_array(path, data.key), places, layouts.read_labels(header, say=say))
