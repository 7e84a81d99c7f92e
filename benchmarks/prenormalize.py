"""How much faster is MS-G3D's pre-normalisation on whole arrays than one joint at a time?

    python3 benchmarks/prenormalize.py

Both take the same clips in turn, in one process on one core, and the fastest pass of each counts. Clips are random
numbers as long as NTU RGB+D's recordings (about 80 of 300 frames, every fourth with a second body). It measures
arithmetic in memory, not the reading and writing of files.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.errors import run_command
from tests.plain_prenormalize import plain_pre_normalize

NUM_PLAIN_CLIPS = 4  # one joint at a time, 20 clips take a second


def make_clips(num_clips: int) -> np.ndarray:
    """Return (N, 3, 300, 25, 2) float32 clips of 40 to 120 frames."""
    rng = np.random.default_rng(0)
    clips = np.zeros((num_clips, 3, 300, 25, 2), np.float32)
    for i, length in enumerate(rng.integers(40, 120, num_clips)):
        bodies = 2 if i % 4 == 0 else 1
        clips[i, :, :length, :, :bodies] = rng.standard_normal((3, length, 25, bodies))
    return clips


def seconds(function, clips: np.ndarray) -> float:
    """Return the wall-clock seconds of one call."""
    start = time.perf_counter()
    function(clips)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=256, help="clips for whole arrays (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="passes of each, in turn (default %(default)s)")
    options = parser.parse_args()
    clips = make_clips(options.clips)
    difference = np.abs(pre_normalize(clips[:NUM_PLAIN_CLIPS]) - plain_pre_normalize(clips[:NUM_PLAIN_CLIPS])).max()
    pairs = [(seconds(pre_normalize, clips), seconds(plain_pre_normalize, clips[:NUM_PLAIN_CLIPS]))
             for _ in range(options.rounds)]
    whole_s, plain_s = (min(times) for times in zip(*pairs, strict=True))
    whole_clips_per_s, plain_clips_per_s = options.clips / whole_s, NUM_PLAIN_CLIPS / plain_s
    print(f"whole arrays           {whole_clips_per_s:8.1f} clips/s")
    print(f"one joint at a time    {plain_clips_per_s:8.1f} clips/s")
    print(f"ratio                  {whole_clips_per_s / plain_clips_per_s:8.1f}")
    print(f"largest difference     {difference:8.1g}")


if __name__ == "__main__":
    run_command(main)
