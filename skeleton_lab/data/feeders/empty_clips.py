"""Clips without frames: they stay in the data, as published results have them, but not unnoticed."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

MOST_NAMED = 5


class EmptyClips:
    """Names the clips of a file that have no frames on stderr, each once, whichever loader process meets it."""

    def __init__(self, path: str | Path, num_clips: int) -> None:
        self._path = path
        self._told = torch.zeros(num_clips, dtype=torch.bool).share_memory_()

    def found(self, index: int, name: str) -> None:
        """Take note that all values of the clip at `index` are 0."""
        if self._told[index]:
            return
        self._told[index] = True
        count = int(self._told.sum())
        if count <= MOST_NAMED:
            more = "; further ones are not named: dataset_tools/inspect_npz.py --check lists all of an archive"
            print(f"{self._path}: {name} has no frames (all values are 0)" + more * (count == MOST_NAMED),
                  file=sys.stderr)
