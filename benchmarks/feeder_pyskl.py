"""How much faster does PYSKL's feeder serve whole batches than its pipeline one clip and one step at a time?

    python3 benchmarks/feeder_pyskl.py

Both read the same archive, mapped and in the page cache, in turn, in one process on one core; medians of the rounds
count. Seconds are the processor's, so that other programs on the machine disturb little. Each case is checked before
it is timed: the same seeds must give the same clips, to the bit. Recordings are random numbers as long as NTU RGB+D's
(80 frames on average, every fifth with a second person, in three quarters of the frames). It does not measure disks,
nor loader processes, whose number multiplies these figures as far as there are cores.

The plain one (`tests/plain_pyskl.py`) takes whole recordings through each step in arrays, as one would write it down.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from skeleton_lab.data.feeders.feeder_pyskl import Feeder
from skeleton_lab.data.formats.pose_clips import PoseClip, open_pose_clips, write_pose_clips
from skeleton_lab.errors import run_command
from tests.plain_pyskl import PlainPyskl

TEST = {"num_clips": 10, "test_mode": True}
CASES = {**{feat: {"feats": [feat]} for feat in ("j", "b", "jm", "bm")},
         **{f"{feat}, ten test clips": {"feats": [feat], **TEST} for feat in ("j", "bm")}}
PLAIN_CLIPS = 16  # in each round; a batch of the feeder has more


class Made(Sequence[PoseClip]):
    """Recordings of random numbers."""

    def __init__(self, count: int, flat: bool) -> None:
        self._flat = flat
        self._lengths = np.clip(np.random.default_rng(0).gamma(7, 11.5, count), 32, 300).astype(int)

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, place):
        if place >= len(self):
            raise IndexError(place)
        rng, persons = np.random.default_rng(place), 1 + (place % 5 == 0)
        shape = (persons, self._lengths[place], *((17, 2) if self._flat else (25, 3)))
        x = rng.standard_normal(shape) * (200 if self._flat else 1)
        x[1:, :shape[1] // 4] = 0
        score = rng.uniform(0, 1, shape[:3]).astype(np.float16) if self._flat else None
        return PoseClip(x.astype(np.float16), score, (1080, 1920) if self._flat else (0, 0), place % 60)


def seconds(function: Callable[[list[int]], object], indices: list[int]) -> float:
    """Return the seconds that a core spent on one call."""
    start = time.process_time()
    function(indices)
    return time.process_time() - start


def compare(path: Path, case: dict, options: argparse.Namespace) -> tuple[float, float, float]:
    """Return the seconds that a clip takes the feeder and the plain pipeline, and how many times as long the latter."""
    feeder, plain = Feeder(str(path), **case), PlainPyskl(open_pose_clips(path, None), **case)
    feeder.get_batch(range(len(feeder)))  # looks at each recording once
    indices = list(range(PLAIN_CLIPS))
    np.random.seed(1)
    batch = feeder.get_batch(indices)[0].numpy()
    np.random.seed(1)
    clips = plain.get_batch(indices).transpose(0, 1, 5, 3, 4, 2).reshape(batch.shape)
    assert np.array_equal(batch, clips), f"{case}: other clips"
    rng, pairs = np.random.default_rng(0), []
    for _ in range(options.rounds):
        indices = rng.integers(0, len(feeder), options.batch_size).tolist()
        pairs.append((seconds(feeder.get_batch, indices) / len(indices),
                      seconds(plain.get_batch, indices[:PLAIN_CLIPS]) / PLAIN_CLIPS))
    batch_s, plain_s = np.median(pairs, axis=0)
    return batch_s, plain_s, float(np.median([plain / batch for batch, plain in pairs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=600, help="recordings in each archive (default %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="recordings a batch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="batches of each, in turn (default %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'recordings/s on one core':28}{'feeder':>9}{'plain':>9}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for flat in (False, True):
            path = Path(folder) / f"{flat}.npz"
            write_pose_clips(path, Made(options.clips, flat), [f"clip{place}" for place in range(options.clips)])
            for name, case in CASES.items():
                batch_s, plain_s, ratio = compare(path, case, options)
                print(f"{'2D' if flat else '3D'}, {name:24}{1 / batch_s:9,.0f}{1 / plain_s:9,.0f}{ratio:8.1f}")


if __name__ == "__main__":
    run_command(main)
