"""Label pickles of MS-G3D: (sample names, labels), in the order of the data file's clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.errors import UserError
from skeleton_lab.pickles import dump_plain_pickle, load_plain_pickle

EXPECTED = "expected a pickle of (sample names, labels)"


def write_labels(path: str | Path, names: Sequence[str], labels: Sequence[int]) -> None:
    """Write upstream's tuple (list of str, list of int), atomically.

    Raises:
        ValueError: not one label for each name.
        UserError: the file cannot be written.
    """
    if len(names) != len(labels):
        raise ValueError(f"{len(names)} names, {len(labels)} labels")
    dump_plain_pickle(path, ([str(name) for name in names], [int(label) for label in labels]))


def read_labels(path: str | Path) -> tuple[list[str], list[int]]:
    """Read a label pickle, ours or upstream's, of Python 2 or 3.

    Some third-party converters wrote (labels, integer ids). Both parts are then integers: the ids are
    the part that counts 0, 1, 2, ..., or else the one without repetition. They become names.

    Returns:
        names and labels, of equal length, in file order.

    Raises:
        UserError: missing, damaged or refused pickle; not two lists of equal length; a label below 0;
            two integer lists of which either may be the labels.
    """
    parts = load_plain_pickle(path)
    if not isinstance(parts, tuple | list) or len(parts) != 2:
        raise UserError(f"{path}: {EXPECTED}, found {_describe(parts)}; make it anew with convert_ctr_npz_to_msg3d.py")
    first, second = (_flatten(path, part) for part in parts)
    if len(first) != len(second):
        raise UserError(f"{path}: {len(first)} and {len(second)} entries in the two parts of the label file; "
                        f"{EXPECTED}, one label for each name")
    names, labels = _tell_apart(path, first, second)
    if labels and min(labels) < 0:
        raise UserError(f"{path}: label {min(labels)} is below 0; class indices count from 0")
    return [str(name) for name in names], labels


def _flatten(path: str | Path, part: Any) -> list[Any]:
    """Return one part as a list of str or a list of int; refuse anything else."""
    items = part.tolist() if isinstance(part, np.ndarray) else part
    if isinstance(items, tuple | list):
        items = [item.item() if isinstance(item, np.generic) else item for item in items]
        items = [item.decode("latin-1") if isinstance(item, bytes) else item for item in items]
        if all(isinstance(item, str) for item in items) or all(type(item) is int for item in items):
            return items
    raise UserError(f"{path}: {EXPECTED}, found {_describe(part)} in it; make it anew with convert_ctr_npz_to_msg3d.py")


def _tell_apart(path: str | Path, first: list[Any], second: list[Any]) -> tuple[list[Any], list[int]]:
    """Return (names, labels) from the two parts, in whichever order they came."""
    if not first:
        return first, second
    numbers = [isinstance(part[0], int) for part in (first, second)]
    if numbers == [False, False]:
        raise UserError(f"{path}: {EXPECTED}, found two lists of names; labels are class indices")
    if numbers == [False, True]:
        return first, second
    if numbers == [True, False]:
        return second, first
    counts_up = [part == list(range(len(part))) for part in (first, second)]
    unique = [len(set(part)) == len(part) for part in (first, second)]
    for sign in (counts_up, unique):
        if sign[0] != sign[1]:
            return (first, second) if sign[0] else (second, first)
    if first == second:
        return first, second
    raise UserError(f"{path}: two lists of integers, and either may be the labels; write (sample names, labels) "
                    "with the names as strings")


def _describe(value: Any) -> str:
    """Name what was found, in a few words."""
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{type(value).__name__} {value!r:.20}"
