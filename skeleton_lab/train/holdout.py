"""Training clips held out to choose the best epoch on (`--val-share`), drawn by class with the seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.errors import UserError

_DRAW = 7  # tells these draws from others of the same seed


def held_out(labels: Sequence[int] | NDArray[np.integer], share: float, seed: int) -> NDArray[np.bool_]:
    """Return which of the samples with these labels (N,) are held out: (N,) bool.

    Of each class the nearest whole number to its share, at least one, and never all.

    Raises:
        UserError: a class has a single clip.
    """
    labels = np.asarray(labels)
    generator = np.random.default_rng((seed, _DRAW))
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise UserError(f"--val-share {share:g}: class {label} has one training clip, of which none can be held "
                            "out; give it more clips, or validation clips of your own with --val-feeder-args")
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        chosen[generator.permutation(rows)[:count]] = True
    return chosen


def rows_of(chosen: NDArray[np.bool_], length: int) -> NDArray[np.int64]:
    """Return the indices of chosen samples in a feeder of `length` items, which may repeat its samples in turn."""
    return np.flatnonzero(np.resize(chosen, length)).astype(np.int64)
