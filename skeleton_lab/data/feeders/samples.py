"""The samples of a data set by name, in the order of its rows, as the feeders of both models name them.

An archive (.npz) has no names: its clips are `train_0`, `train_1`, ... and `test_0`, ..., the split and the row. A
label pickle of MS-G3D holds names. A folder of NW-UCLA recordings has its files'.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.feeders.ucla_split import recordings
from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.class_indices import read_archive_labels
from skeleton_lab.data.formats.labels import read_labels
from skeleton_lab.data.formats.layouts import SPLITS
from skeleton_lab.errors import UserError


@dataclass(frozen=True)
class Samples:
    """Some samples of a data set: their names, and (N,) int64 class indices, -1 where not known."""

    names: list[str]
    labels: np.ndarray


def read_samples(path: str | Path) -> dict[str, Samples]:
    """Return the samples of a data set by split: "train" and "test", or "all" of a label pickle.

    Args:
        path: an archive with `y_train` or `y_test` (one-hot or class indices) or both, in any layout or packed; a label
            pickle; or a folder of NW-UCLA recordings.

    Raises:
        UserError: it is none of these, or damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _ucla(path)
    if path.suffix == ".pkl":
        names, classes = read_labels(path)
        return {"all": Samples(names, np.array(classes, np.int64))}
    headers = archive.list_arrays(path)
    splits = [split for split in SPLITS if f"y_{split}" in headers]
    if not splits:
        raise UserError(f"{path}: holds neither 'y_train' nor 'y_test'; give a data set's archive, a label pickle of "
                        "MS-G3D, or the folder of NW-UCLA's recordings")
    found = {}
    for split in splits:
        clips = headers.get(f"tracks_{split}") or headers.get(f"x_{split}")
        labels = read_archive_labels(path, f"y_{split}", clips.shape[0] if clips and clips.shape else None)
        found[split] = Samples([f"{split}_{row}" for row in range(len(labels))], labels)
    return found


def _ucla(folder: Path) -> dict[str, Samples]:
    found = {}
    for split, part in (("train", "train"), ("test", "val")):
        chosen = recordings(part)
        if not (folder / f"{chosen[0].name}.json").exists():
            raise UserError(f"{folder}: holds no {chosen[0].name}.json; of folders, only that of NW-UCLA's recordings "
                            "is known; else give an archive or a label pickle")
        found[split] = Samples([recording.name for recording in chosen],
                               np.array([recording.label for recording in chosen], np.int64))
    return found
