"""What an archive's arrays mean: clips in the Kaggle or the converted layout, labels in either form, two splits.

An NTU archive holds `x_train`, `y_train`, `x_test`, `y_test` (float32 clips, labels). Two layouts, told apart by shape:

- "kaggle": x (N, T, 150), the 150 values of a frame being 2 bodies x 25 joints x 3 coordinates, coordinate fastest;
- "converted": x (N, C, T, V, M) = (N, 3, T, 25, 2).

and two label forms, told apart by shape too: "one-hot" (N, K) and "class index" (N,); see
`skeleton_lab.data.formats.class_indices`.

Not told apart, because their shape is that of "converted": 5-D archives whose converter read the 150 values as
(25, 3, 2), which scrambles the joints. Make such a file again from its Kaggle original.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.archive import ArrayHeader
from skeleton_lab.data.formats.class_indices import form_of, nothing, read_archive_labels
from skeleton_lab.errors import UserError, note

SPLITS = ("train", "test")
VALIDATION = "val"  # a third one, which some archives have besides
KEYS = ("x_train", "y_train", "x_test", "y_test")
KAGGLE, CONVERTED = "kaggle", "converted"
ONE_HOT, CLASS_INDEX = "one-hot", "class index"
NUM_COORDINATES, NUM_JOINTS, NUM_BODIES = 3, 25, 2
FRAME_VALUES = NUM_BODIES * NUM_JOINTS * NUM_COORDINATES
LAYOUT_SHAPES = {KAGGLE: f"(N, T, {FRAME_VALUES})",
                 CONVERTED: f"(N, C={NUM_COORDINATES}, T, V={NUM_JOINTS}, M={NUM_BODIES})"}


@dataclass(frozen=True)
class SplitHeader:
    """What an archive's headers say of one split; no data has been read.

    Attributes:
        layout: "kaggle" or "converted".
        label_form: "one-hot" or "class index".
        num_classes: number of one-hot columns; None for class indices, whose range the file does not tell.
        data, label: the headers of `x_<split>` and `y_<split>`.
    """

    path: Path
    split: str
    layout: str
    label_form: str
    num_classes: int | None
    data: ArrayHeader
    label: ArrayHeader

    @property
    def num_clips(self) -> int:
        """N, the number of clips."""
        return self.data.shape[0]

    @property
    def num_frames(self) -> int:
        """T, the frames of a clip, padding included."""
        return self.data.shape[1 if self.layout == KAGGLE else 2]

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(C, T, V, M), the shape of a clip in the converted layout."""
        return converted_shape(self.num_frames) if self.layout == KAGGLE else self.data.shape[1:]


class Split:
    """The clips and labels of one split, mapped from their file: see `open_split`.

    Attributes:
        path, split: where it comes from.
        layout: "kaggle" or "converted".
        array: the clips as they lie in the file: a read-only float32 map, (N, T, 150) or (N, C, T, V, M).
        labels: (N,) int64 class indices, -1 where not known.
        num_classes: number of classes if the file tells (one-hot labels), else None.
        num_clips: N. num_frames: T, padding included.

    A split sent to another process is opened again there; its clips are not copied.
    """

    def __init__(self, header: SplitHeader, array: np.ndarray, labels: np.ndarray) -> None:
        self.header, self.array, self.labels = header, array, labels
        self.path, self.split, self.layout = header.path, header.split, header.layout
        self.num_classes, self.num_clips, self.num_frames = header.num_classes, header.num_clips, header.num_frames
        self._rows = np.asarray(array)  # a plain array slices faster than a memmap

    def __len__(self) -> int:
        return self.num_clips

    def __reduce__(self):
        return open_split, (self.path, self.split, None, nothing)

    def frames(self, index: int) -> np.ndarray:
        """Return clip `index` as (T, M, V, C) float32: a read-only view of the file, whatever its layout."""
        return as_frames(self._rows[index], self.layout)


def as_frames(clips: np.ndarray, layout: str) -> np.ndarray:
    """View clips of a layout, (..., T, 150) or (..., C, T, V, M), as (..., T, M, V, C)."""
    if layout == KAGGLE:
        return clips.reshape(*clips.shape[:-1], NUM_BODIES, NUM_JOINTS, NUM_COORDINATES)
    outer = tuple(range(clips.ndim - 4))
    c, t, v, m = range(clips.ndim - 4, clips.ndim)
    return clips.transpose(*outer, t, m, v, c)  # (..., C, T, V, M) -> (..., T, M, V, C)


def as_converted(clips: np.ndarray, layout: str) -> np.ndarray:
    """Return clips of a layout, (N, T, 150) or (N, C, T, V, M) of any float type, as (N, C, T, V, M) float32.

    Values that float32 cannot hold become infinite, without a warning: see `require_finite`.
    """
    with np.errstate(over="ignore"):
        if layout == CONVERTED:
            return clips.astype(np.float32, copy=False)
        frames = as_frames(clips, layout)  # (N, T, M, V, C)
        converted = np.empty((len(frames), *converted_shape(frames.shape[1])), np.float32)
        for c in range(NUM_COORDINATES):  # piecewise takes two thirds of the time of one transposing copy
            for m in range(NUM_BODIES):
                converted[:, c, :, :, m] = frames[:, :, m, :, c]
    return converted


def converted_shape(num_frames: int) -> tuple[int, int, int, int]:
    """Return the shape (C, T, V, M) of a clip in the converted layout."""
    return NUM_COORDINATES, num_frames, NUM_JOINTS, NUM_BODIES


def layout_of(shape: tuple[int, ...]) -> str | None:
    """Return the layout that clips of this shape are in, "kaggle" or "converted", or None."""
    if len(shape) == 3 and shape[2] == FRAME_VALUES:
        return KAGGLE
    if len(shape) == 5 and (shape[1], *shape[3:]) == (NUM_COORDINATES, NUM_JOINTS, NUM_BODIES):
        return CONVERTED
    return None


def splits_of(path: str | Path) -> tuple[str, ...]:
    """Return which of train, test and val an archive holds at all.

    If it holds none, train and test: so reading says what is missing.
    """
    headers = archive.list_arrays(path)
    return tuple(split for split in (*SPLITS, VALIDATION) if {f"x_{split}", f"y_{split}"} & set(headers)) or SPLITS


def main_splits(path: str | Path) -> tuple[str, ...]:
    """Return as `splits_of` train and test, for formats that have no third one; say that `val` stays behind."""
    splits = splits_of(path)
    if splits == (VALIDATION,):
        return SPLITS
    if VALIDATION in splits:
        note(f"note: {path}: clips of its split val are left out: what is written has no place for them")
    return tuple(split for split in splits if split != VALIDATION)


def read_header(path: str | Path, split: str, any_skeleton: bool = False) -> SplitHeader:
    """Recognise one split ("train" or "test") of an NTU archive from its headers; reads no data.

    Args:
        any_skeleton: the converted layout may have any number of joints and bodies.

    Raises:
        UserError: the file is missing or damaged, a key is missing, a shape or dtype fits no layout, or the clips and
            labels differ in number.
    """
    path = Path(path)
    if split not in (*SPLITS, VALIDATION):
        raise UserError(f"{path}: there is no split '{split}'; choose train, test or val")
    headers = archive.list_arrays(path)
    for key in (f"x_{split}", f"y_{split}"):
        if key not in headers:
            raise UserError(f"{path}: has no '{key}', only {archive.names_of(headers)}; an NTU archive holds "
                            f"{', '.join(KEYS)}")
    if f"tracks_{split}" in headers:
        raise UserError(f"{path}: is packed, which only CTR-GCN's feeder reads; give the archive it was packed from")
    data, label = headers[f"x_{split}"], headers[f"y_{split}"]
    layout = layout_of(data.shape)
    if layout is None and any_skeleton and len(data.shape) == 5 and data.shape[1] == NUM_COORDINATES:
        layout = CONVERTED
    if layout is None:
        raise UserError(f"{path}: '{data.key}' has shape {data.shape}; expected {' or '.join(LAYOUT_SHAPES.values())}; "
                        "save the clips in that order of axes")
    if data.dtype.kind != "f":
        raise UserError(f"{path}: '{data.key}' is {data.dtype}; clips are float32, save them with "
                        ".astype(numpy.float32)")
    if 0 in data.shape[1:]:
        raise UserError(f"{path}: '{data.key}' has shape {data.shape}, clips without frames; make the archive again")
    form = form_of(label.shape, label.dtype, f"{path}: '{label.key}'", data.shape[0])
    if form.num_labels != data.shape[0]:
        raise UserError(f"{path}: '{data.key}' has {data.shape[0]} clips but '{label.key}' has {form.num_labels} "
                        "labels; the archive is not whole, make or download it again")
    return SplitHeader(path, split, layout, ONE_HOT if form.one_hot else CLASS_INDEX, form.num_columns, data, label)


def read_labels(header: SplitHeader, num_classes: int | None = None, say: Callable[[str], None] = note) -> np.ndarray:
    """Read a split's labels as (N,) int64 class indices; -1: not known.

    Args:
        num_classes: refuse labels from this number on (default: one-hot labels are bounded by their columns, class
            indices by what any data set could have, 100,000).
        say: is given a line where labels begin at 1.

    Raises:
        UserError: as `class_indices.read_archive_labels`; the first bad label's clip is named.
    """
    return read_archive_labels(header.path, header.label.key, header.num_clips, num_classes, say)


def open_split(path: str | Path, split: str, num_classes: int | None = None,
               say: Callable[[str], None] = note) -> Split:
    """Open one split of an NTU archive in either layout: map its clips, read its labels.

    Costs neither time nor memory to speak of, however large the file: clips are read when they are looked at.

    Args:
        path: a `.npz` archive with stored (not deflated) members.
        split: "train" or "test".
        num_classes, say: as in `read_labels`.

    Raises:
        UserError: as `read_header` and `read_labels`, or the split is empty, or its clips cannot be mapped as float32
            (the line says what to run).
    """
    header = read_header(path, split)
    if header.num_clips == 0:
        raise UserError(f"{path}: the {split} split holds no clips; choose another split or archive")
    if header.data.dtype != np.float32:  # the other byte order counts as different
        raise UserError(f"{path}: '{header.data.key}' is {header.data.dtype.str}, which cannot be mapped as float32; "
                        f"make a float32 archive once: {archive.conversion_command(path)}")
    return Split(header, archive.map_array(path, header.data.key), read_labels(header, num_classes, say))


def require_finite(clip: np.ndarray, path: str | Path, split: str, index: int) -> None:
    """Check the values of one clip.

    Raises:
        UserError: one of them is NaN or infinite; the line names the file and the clip.
    """
    if not all_finite(clip):
        raise UserError(f"{path}: clip {index} of the {split} split holds NaN or infinite values; remove the clip, or "
                        "make or download the archive again")


def all_finite(values: np.ndarray) -> bool:
    """Return whether all values are finite; fast, and without a temporary array in the usual case."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):  # NaN and infinity survive a sum
            return True
    return bool(np.isfinite(values).all())  # finite values may overflow in a sum


def check_clips(split: Split | SplitHeader) -> Iterator[tuple[int, str]]:
    """Read all clips of a split, in constant memory, and yield (index, problem) for each bad one.

    Problems: "NaN or infinite values", "no frames (all values are 0)".
    """
    header = split.header if isinstance(split, Split) else split
    yield from check_array(header.path, header.data.key)


def check_array(path: str | Path, key: str) -> Iterator[tuple[int, str]]:
    """Read an array of clips (N, ...) and yield (index, problem) as `check_clips` does."""
    for rows, block in archive.read_blocks(path, key):
        yield from ((rows.start + index, problem) for index, problem in block_problems(block))


def block_problems(block: np.ndarray) -> Iterator[tuple[int, str]]:
    """Yield (index in the block, problem) for the bad clips among (n, ...)."""
    finite = all_finite(block)
    for index, clip in enumerate(block):
        if not finite and not all_finite(clip):
            yield index, "NaN or infinite values"
        elif not clip.flat[0] and not clip.any():
            yield index, "no frames (all values are 0)"
