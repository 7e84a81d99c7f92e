"""Labels of any form as class indices (N,) int64: the one place that decides what an array or a list of labels means.

- Class indices (N,), also as a column (N, 1) or a row (1, N), of any real type: uint8 and float64 as MATLAB has them.
- One-hot (N, K), K > 1: 0s and a single 1 in each row. Anything else in two axes is refused, all-zero rows too.
- -1 stands for a class that is not known (`metrics.NOT_KNOWN`): such clips can be tested and predicted, not trained on.

Classes count from 0. Labels that begin at 1 are taken as they stand, since a part of a data set may well lack class 0,
but pointed out: labels that count from 1 would give each clip the next class's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats import archive
from skeleton_lab.errors import UserError, note
from skeleton_lab.metrics import NOT_KNOWN

MAX_CLASSES = 100_000
_EXPECTED = "expected one-hot (N, K) or class indices (N,); save them so"
_MEND = "mend the labels, or make or download the file again"
_OTHER_PART = {"y_train": "y_test", "y_test": "y_train"}


@dataclass(frozen=True)
class LabelForm:
    """What an array of labels is, by shape and type: one-hot rows of `num_columns`, or class indices (None)."""

    num_labels: int
    num_columns: int | None = None

    @property
    def one_hot(self) -> bool:
        """Whether each label is a row of 0s and a 1."""
        return self.num_columns is not None

    def indices(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the class indices (n,) int64 of some labels, and (n,) bool: whether each is what the form says."""
        if self.one_hot:
            good = ((block != 0).sum(axis=1) == 1) & (block == 1).any(axis=1)  # NaN is an entry that is not 0
            return block.argmax(axis=1), good
        values = block.reshape(-1)
        with np.errstate(invalid="ignore"):
            indices = values.astype(np.int64)
        return indices, indices == values

    @property
    def complaint(self) -> str:
        """What is wrong with a label that is not good."""
        return ("is not one-hot: exactly one entry of its row must be 1 and the others 0" if self.one_hot
                else "is not a whole number")


def form_of(shape: tuple[int, ...], dtype: np.dtype, where: str, num_clips: int | None = None) -> LabelForm:
    """Tell the form of an array of labels from its header.

    Args:
        where: file and array, for messages. num_clips: of the clips that they label; it tells a row (1, N) of class
            indices from one clip's one-hot label.

    Raises:
        UserError: no form has this shape and type.
    """
    if len(shape) not in (1, 2) or 0 in shape[1:] or dtype.kind not in "fiub":
        raise UserError(f"{where} is {dtype} of shape {shape}; {_EXPECTED}")
    if len(shape) == 1 or shape[1] == 1:
        return LabelForm(shape[0])
    if shape[0] == 1 and shape[1] == num_clips:
        return LabelForm(shape[1])
    return LabelForm(*shape)


def nothing(line: str) -> None:
    """Say nothing: in place of `note`."""


def class_indices(values: Any, where: str, num_clips: int | None = None, num_classes: int | None = None,
                  say: Callable[[str], None] = note) -> np.ndarray:
    """Return labels in memory, an array or lists of numbers, as class indices (N,) int64; -1: not known.

    Args:
        where, num_clips: as in `form_of`. num_classes: refuse labels from this number on (default: 100,000, or the
            columns of one-hot labels). say: is given the line if the labels begin at 1.

    Raises:
        UserError: they have no known form, or the first label that is bad; the line names it.
    """
    try:
        array = np.asarray(values)
    except ValueError:  # lists of unequal length
        raise UserError(f"{where} holds lists of different lengths; {_EXPECTED}") from None
    form = _settled(form_of(array.shape, array.dtype, where, num_clips), array, num_clips)
    labels = _checked([(slice(0, len(array)), array)], form, where, num_classes)
    if not form.one_hot and begins_at_one(labels):
        say(from_one(where, labels))
    return labels


def read_archive_labels(path: str | Path, key: str, num_clips: int | None = None, num_classes: int | None = None,
                        say: Callable[[str], None] = note) -> np.ndarray:
    """Read an array of labels of a file, such as `y_test`, as class indices (N,) int64; -1: not known.

    Args:
        num_clips, num_classes, say: as in `class_indices`. Labels that begin at 1 are pointed out only if those of the
            other split do not have class 0 either.

    Raises:
        UserError: the array is missing or damaged, or as `class_indices`.
    """
    path = Path(path)
    labels, form = _read(path, key, num_clips, num_classes)
    if not form.one_hot and begins_at_one(labels) and not _has_class_0(path, _OTHER_PART.get(key)):
        say(from_one(f"{path}: '{key}'", labels))
    return labels


def _read(path: Path, key: str, num_clips: int | None = None,
          num_classes: int | None = None) -> tuple[np.ndarray, LabelForm]:
    """Read an array of labels, and the form it has in the file; arguments and errors as `read_archive_labels`."""
    header, where = archive.find_array(path, key), f"{path}: '{key}'"
    form = form_of(header.shape, header.dtype, where, num_clips)
    if form.num_labels == 1 or (header.fortran_order and len(header.shape) > 1):  # as scipy.io.loadmat leaves arrays
        array = np.concatenate([block for _, block in _blocks(path, header)])
        form = _settled(form, array, num_clips)
        return _checked([(slice(0, len(array)), array)], form, where, num_classes), form
    return _checked(archive.read_blocks(path, key), form, where, num_classes), form


def require_known(labels: np.ndarray, where: str) -> None:
    """Refuse labels of which one is not known.

    Raises:
        UserError: the line names the first.
    """
    unknown = np.flatnonzero(labels == NOT_KNOWN)
    if len(unknown):
        raise UserError(f"{where}: the label of clip {unknown[0]} is -1, which means that its class is not known "
                        f"({len(unknown)} such); leave these clips out, or label them")


def begins_at_one(labels: np.ndarray) -> bool:
    """Return whether the smallest known label is 1."""
    known = labels[labels != NOT_KNOWN]
    return bool(len(known) and known.min() == 1)


def from_one(where: str, labels: np.ndarray) -> str:
    """Return the line about labels that begin at 1."""
    return (f"{where} has labels from 1 to {labels.max()} and no 0; classes count from 0: if these count from 1, as "
            "MATLAB's do, subtract 1 from all labels, of every split; if class 0 merely has no clip here, all is well")


def _blocks(path: Path, header: archive.ArrayHeader) -> Iterator[tuple[slice, np.ndarray]]:
    """Read an array whole, in Fortran order too."""
    if header.fortran_order:
        array = np.array(archive.map_array(path, header.key))
        return iter([(slice(0, len(array)), array)])
    return archive.read_blocks(path, header.key)


def _settled(form: LabelForm, array: np.ndarray, num_clips: int | None) -> LabelForm:
    """Return the form of a single row (1, K), which only its content tells where the number of clips is not known."""
    if form.one_hot and form.num_labels == 1 and num_clips is None and not form.indices(array)[1].all():
        return LabelForm(array.shape[1])
    return form


def _checked(blocks: Iterable[tuple[slice, np.ndarray]], form: LabelForm, where: str,
             num_classes: int | None) -> np.ndarray:
    """Return the class indices of all labels; UserError for the first bad one."""
    labels = np.empty(form.num_labels, np.int64)
    for rows, block in blocks:
        indices, good = form.indices(block)
        start = rows.start
        labels[start:start + len(indices)] = indices
        if not good.all():
            raise UserError(f"{_naming(where, start + int(good.argmin()))} {form.complaint}; {_MEND}")
    limit = MAX_CLASSES if num_classes is None else num_classes
    out_of_range = (labels < NOT_KNOWN) | (labels >= limit)
    if out_of_range.any():
        first = int(out_of_range.argmax())
        raise UserError(f"{_naming(where, first)} is {labels[first]}, outside 0..{limit - 1}; {_MEND}")
    return labels


def _naming(where: str, index: int) -> str:
    path, _, key = where.rpartition(": ")
    return f"{path}: the label of clip {index} in {key}" if path else f"{where}: the label of clip {index}"


def _has_class_0(path: Path, key: str | None) -> bool:
    """Return whether the labels of the other split hold class 0; False if they cannot be read."""
    try:
        if key not in archive.list_arrays(path):
            return False
        return bool((_read(path, str(key))[0] == 0).any())
    except UserError:
        return False
