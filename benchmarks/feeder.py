"""How much faster does the NTU feeder serve whole batches than one clip and one step at a time?

    python3 benchmarks/feeder.py

Both read the same archive, mapped and in the page cache, in turn, in one process on one core; medians of the rounds
count. Seconds are the processor's, so that other programs on the machine disturb little. Each case is checked before
it is timed: the same seeds must give the same clips. Clips are random numbers as long as NTU RGB+D's recordings (about
80 of 300 frames, every fifth with a second body). It does not measure disks, nor loader processes, whose number
multiplies these figures as far as there are cores.

The plain one works in the logical axes (C, T, V, M), axis after axis, as one would write it down; half of its time goes
into counting a clip's valid frames each time, the feeder's only once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from skeleton_lab.data.formats.archive import NpzWriter, map_array
from skeleton_lab.errors import run_command
from tests.plain_feeder import PlainFeeder
from tests.trees import open_tree

TRAINING = {"p_interval": [0.5, 1], "window_size": 64, "random_rot": True}
CASES = {
    "training": TRAINING,
    "training, bone": TRAINING | {"bone": True},
    "training, bone, velocity": TRAINING | {"bone": True, "vel": True},
    "test": {"p_interval": [0.95], "window_size": 64},
}
PLAIN_CLIPS = 32  # in each round; a batch of the feeder has more
TOLERANCE = 1e-5  # of clips of size 1: where a frame falls between two is a float32


def write_archive(path: Path, num_clips: int) -> None:
    """Write an archive in the Kaggle layout with the lengths of real recordings."""
    rng = np.random.default_rng(0)
    with NpzWriter(path) as writer:
        with writer.member("x_train", (num_clips, 300, 150), np.float32) as sink:
            for i, length in enumerate(np.clip(rng.gamma(7, 11.5, num_clips), 32, 300).astype(int)):
                clip = np.zeros((1, 300, 150), np.float32)
                clip[0, :length, :150 if i % 5 == 0 else 75] = rng.standard_normal((length, 150 if i % 5 == 0 else 75))
                sink.append(clip)
        writer.write("y_train", rng.integers(0, 60, num_clips))


def seed() -> None:
    np.random.seed(1)
    torch.manual_seed(1)


def largest_difference(feeder, plain: PlainFeeder, indices: list[int]) -> float:
    """Return how far the two are apart, with the same draws."""
    seed()
    batch = feeder.get_batch(indices)[0].numpy()
    seed()
    return float(np.abs(batch - plain.get_batch(indices)).max())


def seconds(function: Callable[[list[int]], object], indices: list[int]) -> float:
    """Return the seconds that a core spent on one call."""
    start = time.process_time()
    function(indices)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2000, help="clips of 180 kB in the archive (default %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="clips a batch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="batches of each, in turn (default %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, open_tree("CTR-GCN") as tree:
        path = Path(folder) / "clips.npz"
        write_archive(path, options.clips)
        feeder_class = tree.load("feeders.feeder_ntu.Feeder")
        print(f"{'clips/s on one core':26}{'first pass':>12}{'later':>9}{'plain':>9}{'ratio':>8}{'difference':>12}")
        for name, case in CASES.items():
            feeder, plain = feeder_class(str(path), **case), PlainFeeder(map_array(path, "x_train"), **case)
            batches = np.array_split(rng.permutation(options.clips), options.clips // options.batch_size)
            first_s = sum(seconds(feeder.get_batch, batch.tolist()) for batch in batches)
            difference = largest_difference(feeder, plain, batches[0].tolist())
            assert difference < TOLERANCE, f"{name}: the clips differ by {difference}"
            pairs = []
            for _ in range(options.rounds):
                indices = rng.integers(0, options.clips, options.batch_size).tolist()
                pairs.append((seconds(feeder.get_batch, indices) / len(indices),
                              seconds(plain.get_batch, indices[:PLAIN_CLIPS]) / PLAIN_CLIPS))
            batch_s, plain_s = np.median(pairs, axis=0)
            ratio = np.median([plain / batch for batch, plain in pairs])
            print(f"{name:26}{options.clips / first_s:12,.0f}{1 / batch_s:9,.0f}{1 / plain_s:9,.0f}{ratio:8.1f}"
                  f"{difference:12.1g}")


if __name__ == "__main__":
    run_command(main)
