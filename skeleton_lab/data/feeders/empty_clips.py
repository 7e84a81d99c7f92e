"""Clips without frames, or with gaps: they stay in the data, as published results have them, but not unnoticed."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

MOST_NAMED = 5
NO_FRAMES = "has no frames (all values are 0)"
GAPS = ("has empty frames before its last one; as published, as many frames as are not empty are taken from its first "
        "one on (feeders.feeder_clips.Feeder, for skeletons of one's own, takes those from first to last)")


class EmptyClips:
    """Names the odd clips of a file on stderr, each once, whichever loader process meets it."""

    def __init__(self, path: str | Path, num_clips: int) -> None:
        self._path = path
        self._told = torch.zeros(num_clips, dtype=torch.bool).share_memory_()

    def found(self, index: int, name: str, what: str = NO_FRAMES) -> None:
        """Take note of what is odd about the clip at `index`."""
        if self._told[index]:
            return
        self._told[index] = True
        count = int(self._told.sum())
        if count <= MOST_NAMED:
            more = "; further ones are not named: dataset_tools/inspect_npz.py --check lists all of an archive"
            print(f"{self._path}: {name} {what}" + more * (count == MOST_NAMED),
                  file=sys.stderr)
