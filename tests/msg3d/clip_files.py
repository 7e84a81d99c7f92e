"""Small files as MS-G3D trains on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.labels import write_labels


def make_place(folder: Path, names: Mapping[str, Sequence[str]], num_frames: int,
               streams: Sequence[str] = ("joint",)) -> Path:
    """Fill `folder` with data/ntu/xsub as the configs name it, and return it.

    names: part -> its samples; sample i has class 7 i. Clips are random, (N, C, T, V, M) with T = `num_frames`.
    """
    data = folder / "data" / "ntu" / "xsub"
    data.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, samples in names.items():
        for stream in streams:
            clips = rng.normal(size=(len(samples), 3, num_frames, 25, 2)).astype(np.float32)
            np.save(data / f"{part}_data_{stream}.npy", clips)
        write_labels(data / f"{part}_label.pkl", list(samples), [7 * i for i in range(len(samples))])
    return folder


def numbered(**counts: int) -> dict[str, list[str]]:
    """Return sample names: `numbered(train=2)` is {"train": ["train0", "train1"]}."""
    return {part: [f"{part}{i}" for i in range(count)] for part, count in counts.items()}
