"""Label pickles of MS-G3D: (sample names, labels), in the order of the data file's clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.data.formats.class_indices import class_indices, form_of
from skeleton_lab.errors import UserError, note
from skeleton_lab.pickles import dump_plain_pickle, load_plain_pickle

EXPECTED = "expected a pickle of (sample names, labels)"
_MOST_IN_ROWS = 1 << 24  # numbers of one-hot rows in lists; NTU RGB+D 120's training part has 8 million


def write_labels(path: str | Path, names: Sequence[str], labels: Sequence[int]) -> None:
    """Write upstream's tuple (list of str, list of int), atomically.

    Raises:
        ValueError: not one label for each name.
        UserError: the file cannot be written.
    """
    if len(names) != len(labels):
        raise ValueError(f"{len(names)} names, {len(labels)} labels")
    dump_plain_pickle(path, ([str(name) for name in names], [int(label) for label in labels]))


def read_labels(path: str | Path, say: Callable[[str], None] = note) -> tuple[list[str], list[int]]:
    """Read a label pickle, ours or upstream's, of Python 2 or 3.

    Some third-party converters wrote (labels, integer ids). Both parts are then integers: the ids are
    the part that counts 0, 1, 2, ..., or else the one without repetition. They become names. Others wrote a third part,
    the clips' lengths; it is passed over. Labels may have any form that `class_indices` knows.

    Args:
        say: is given a line where the labels begin at 1.

    Returns:
        names and labels, of equal length, in file order; a label of -1: not known.

    Raises:
        UserError: missing, damaged or refused pickle; not two lists of equal length; a label that is no class index;
            two integer lists of which either may be the labels.
    """
    parts = load_plain_pickle(path)
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
        raise UserError(f"{path}: {EXPECTED}, found {_describe(parts)}; make it anew with convert_ctr_npz_to_msg3d.py")
    num_clips = max(map(_num_entries, parts))
    first, second, *rest = (_read_part(path, part, num_clips) for part in parts)
    counts = [len(part.items) for part in (first, second, *rest)]
    if len(set(counts)) > 1:
        raise UserError(f"{path}: {', '.join(map(str, counts[:-1]))} and {counts[-1]} entries in the parts of the "
                        f"label file; {EXPECTED}, one label for each name")
    if rest and (rest[0].is_text or rest[0].is_one_hot):
        raise UserError(f"{path}: {EXPECTED}; of three parts the third is the clips' lengths, but here it is not")
    names, labels = _tell_apart(path, first, second)
    classes = class_indices(np.array(labels, np.int64), f"{path}: 'labels'", say=say)
    return [str(name) for name in names], classes.tolist()


class _Part(NamedTuple):
    """One part of a label file: names, or whole numbers; whether those were one-hot rows, which only labels are."""

    items: list[Any]
    is_text: bool
    is_one_hot: bool = False


def _read_part(path: str | Path, part: Any, num_clips: int) -> _Part:
    """Return one part, of about `num_clips` entries, as a list of str or a list of int; refuse anything else."""
    if isinstance(part, np.ndarray):
        column = part.reshape(-1) if part.size == max(part.shape, default=0) else part
        items = column.tolist() if part.dtype.kind in "SU" and column.ndim == 1 else []
    else:
        items = [item.item() if isinstance(item, np.generic) else item for item in part] if _is_list(part) else []
    items = [item.decode("latin-1") if isinstance(item, bytes) else item for item in items]
    if all(isinstance(item, str) for item in items) and (items or (_is_list(part) and not len(part))):
        return _Part(items, is_text=True)
    with suppress(ValueError, OverflowError):  # lists of unequal length; numbers beyond 64 bits
        array = part if isinstance(part, np.ndarray) else np.asarray(part if _is_small(part) else None)
        if array.dtype.kind in "fiub" and array.ndim in (1, 2) and 0 not in array.shape[1:]:
            form = form_of(array.shape, array.dtype, str(path), num_clips)
            numbers, good = form.indices(array)
            if form.one_hot and not good.all():
                raise UserError(f"{path}: the label of clip {int(good.argmin())} {form.complaint}; make it anew with "
                                "convert_ctr_npz_to_msg3d.py")
            if good.all():
                return _Part(numbers.tolist(), is_text=False, is_one_hot=form.one_hot)
    raise UserError(f"{path}: {EXPECTED}, found {_describe(part)} in it; make it anew with convert_ctr_npz_to_msg3d.py")


def _num_entries(part: Any) -> int:
    """Return how many entries a part has; of a row of numbers, which may be one clip's one-hot label, 1."""
    if isinstance(part, np.ndarray) and part.ndim:
        return part.size if part.dtype.kind in "SU" else len(part)
    return len(part) if _is_list(part) else 0


def _is_list(part: Any) -> bool:
    return isinstance(part, tuple | list)


def _is_small(part: Any) -> bool:
    """Whether a list of numbers, or of rows of numbers, is no more than it seems: a pickle may name one row often."""
    if not _is_list(part):
        return False
    rows = [row for row in part if isinstance(row, tuple | list | np.ndarray)]
    if sum(row.size if isinstance(row, np.ndarray) else len(row) for row in rows) > _MOST_IN_ROWS:
        return False
    return not any(isinstance(item, tuple | list | np.ndarray) for row in rows if _is_list(row) for item in row)


def _tell_apart(path: str | Path, first: _Part, second: _Part) -> tuple[list[Any], list[int]]:
    """Return (names, labels) from the two parts, in whichever order they came."""
    if not first.items:
        return [], []
    if first.is_text and second.is_text:
        raise UserError(f"{path}: {EXPECTED}, found two lists of names; labels are class indices")
    counts_up = [part.items == list(range(len(part.items))) for part in (first, second)]
    unique = [len(set(part.items)) == len(part.items) for part in (first, second)]
    for first_is_names, second_is_names in ((first.is_text, second.is_text), (second.is_one_hot, first.is_one_hot),
                                            counts_up, unique):
        if first_is_names != second_is_names:
            return (first.items, second.items) if first_is_names else (second.items, first.items)
    if first.items == second.items:
        return first.items, second.items
    raise UserError(f"{path}: two lists of integers, and either may be the labels; write (sample names, labels) "
                    "with the names as strings")


def _describe(value: Any) -> str:
    """Name what was found, in a few words."""
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{type(value).__name__} {value!r:.20}"
