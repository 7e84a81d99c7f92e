"""NTU RGB+D's actions of two people: 11 classes of the first data set, 26 of the second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from feeders import feeder_ntu
from skeleton_lab.errors import UserError
from skeleton_lab.skeleton_clip import SkeletonClip

CLASSES = (*range(49, 60), *range(105, 120))  # of 120, from 0


class Feeder(feeder_ntu.Feeder):
    """The clips of these classes, numbered from 0 in their order; names and indices count these clips alone.

    Arguments and errors are those of `feeders.feeder_ntu.Feeder`; an archive without such a clip is refused too.
    """

    def __init__(self, data_path: str, *args: Any, **options: Any) -> None:
        super().__init__(data_path, *args, **options)
        self.rows = np.flatnonzero(np.isin(self.label, CLASSES))
        if not len(self.rows):
            raise UserError(f"{data_path}: no clip of the {self.split} split is of an action of two people (classes 49 "
                            "to 59 and 105 to 119, from 0); name feeders.feeder_ntu.Feeder, or give such an archive")
        self.label = np.searchsorted(CLASSES, self.label[self.rows])
        self.sample_name = [f"{self.split}_{number}" for number in range(len(self.rows))]
        if self.class_names is not None:
            self.class_names = _chosen(self.class_names)

    def recorded(self, index: int) -> SkeletonClip:
        """Return a clip as it was recorded, before any transform, to be looked at."""
        row = int(self.rows[index])
        own = self._clip_names[row] if row < len(self._clip_names) else ""
        return SkeletonClip(self._reader.frames(row), self.skeleton, f"{self.sample_name[index]} {own}".rstrip())


def _chosen(names: Sequence[str]) -> list[str]:
    return [names[label] for label in CLASSES if label < len(names)]
