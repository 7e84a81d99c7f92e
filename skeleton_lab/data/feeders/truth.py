"""The true classes of scored samples, from whatever names them: archive, label pickle, a test's table, the names."""

from __future__ import annotations

import csv
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.data.formats import labels as label_pickles
from skeleton_lab.data.formats.headers import HDF5, NPZ, kind_of
from skeleton_lab.data.formats.layouts import read_header, read_labels
from skeleton_lab.data.formats.nw_ucla import UCLA_ACTIONS
from skeleton_lab.errors import UserError
from skeleton_lab.metrics import NOT_KNOWN
from skeleton_lab.pickles import load_plain_pickle

FROM_NAMES = "names"
LABEL_SOURCES = ("an NTU archive (.npz; samples test_0, test_1, ...), MS-G3D's label pickle or NW-UCLA's (.pkl), a "
                 "predictions.csv or the work directory that holds it, or the word 'names' for samples that are named "
                 "as in NTU RGB+D or NW-UCLA")
_TABLE = "predictions.csv"
_NTU = re.compile(r"S\d{3}C\d{3}P\d{3}R\d{3}A(\d{3})")
_UCLA = re.compile(r"a(\d{2})_s\d{2}_e\d{2}_v\d{2}")


def read_truth(source: str | None, scores: Sequence[str], names: Sequence[Hashable]) -> dict[Hashable, int]:
    """Return the class of each sample name; -1: not known.

    Args:
        source: see `LABEL_SOURCES`; None: the table beside one of the `scores`, files or work directories.
        names: of the samples to be found.

    Raises:
        UserError: nothing can be read there.
    """
    if source is None:
        tables = [path / _TABLE for path in map(Path, scores) if (path / _TABLE).is_file()]
        if not tables:
            raise UserError("--labels: missing, and no work directory of the scores has a predictions.csv; give "
                            f"{LABEL_SOURCES}")
        return _from_table(tables[0])
    if source == FROM_NAMES:
        return {name: _class_in(name) for name in names}
    path = Path(source)
    if path.is_dir():
        path = path / _TABLE
    if not path.exists():
        raise UserError(f"{path}: no such file; give {LABEL_SOURCES}")
    if _is_archive(path):
        return _from_archive(path, names)
    return _from_table(path) if path.suffix == ".csv" else _from_pickle(path)


def _is_archive(path: Path) -> bool:
    """Whether a file, by its name or its content, holds arrays: a cut or empty one is told as the archive it was."""
    if path.suffix in (".npz", ".h5", ".hdf5"):
        return True
    try:
        return kind_of(path) in (NPZ, HDF5)
    except UserError:
        return False


def _from_archive(path: Path, names: Sequence[Hashable]) -> dict[Hashable, int]:
    split = str(names[0]).partition("_")[0] if names else "test"
    if split not in ("train", "test"):
        raise UserError(f"{path}: samples of an archive are named test_0, test_1, ..., not '{names[0]}'; give labels "
                        "that go with the scores")
    return {f"{split}_{row}": int(label) for row, label in enumerate(read_labels(read_header(path, split)))}


def _from_pickle(path: Path) -> dict[Hashable, int]:
    content = load_plain_pickle(path)
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return ucla_labels(path, content)
    names, classes = label_pickles.read_labels(path)
    return dict(zip(names, classes, strict=True))


def ucla_labels(path: str | Path, entries: Any) -> dict[Hashable, int]:
    """Return the classes of NW-UCLA's list of entries, by place and by file name, both of which scores may have.

    Raises:
        UserError: they are no such entries.
    """
    try:
        return {key: int(entry["label"]) - 1 for row, entry in enumerate(entries) for key in (row, entry["file_name"])}
    except (TypeError, KeyError, ValueError):
        raise UserError(f"{path}: expected a list of entries with file_name and label; give {LABEL_SOURCES}") from None


def _from_table(path: Path) -> dict[Hashable, int]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [(row["sample"], int(row["true"] or NOT_KNOWN)) for row in csv.DictReader(file)]
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); check its permissions") from None
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path}: not a table with the columns sample and true ({type(error).__name__}: {error}); test "
                        "again") from None
    return dict(rows)


def _class_in(name: Hashable) -> int:
    """Return the class that an NTU or NW-UCLA sample's name tells."""
    ntu, ucla = _NTU.search(str(name)), _UCLA.fullmatch(str(name))
    if ntu and int(ntu[1]):
        return int(ntu[1]) - 1
    if ucla and int(ucla[1]) in UCLA_ACTIONS:
        return UCLA_ACTIONS.index(int(ucla[1]))
    raise UserError(f"sample '{name}' is named neither as in NTU RGB+D nor as in NW-UCLA; give --labels a file")
