"""How long does a training take, as it starts, to find out what its data and its code are?

    python3 benchmarks/fingerprint.py --gb 10.2

It writes an archive of random clips (NTU RGB+D 60 as float32 in rows of 300 frames: 10.2 GB) to the folder for
temporary files (TMPDIR), of which the page cache then holds as much as fits. With `--archive` it takes one that is
there. Two times count: for the archive, which both splits share, and for all source files. What an epoch's look at the
file's times takes stands beside.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch

from skeleton_lab.data.formats.archive import NpzWriter
from skeleton_lab.errors import run_command
from skeleton_lab.machine import describe_machine
from skeleton_lab.train.fingerprint import engine_files, file_digests
from skeleton_lab.train.watched import Watch, sources_of

CLIP_BYTES = 300 * 150 * 4
BLOCK = 64  # clips written at a time


def write_archive(path: Path, num_clips: int) -> None:
    """Write clips in the Kaggle layout; blocks of them repeat, since making random numbers takes longer than writing.
    """
    noise = np.random.default_rng(0).standard_normal((BLOCK, 300, 150), np.float32)
    with NpzWriter(path) as writer:
        with writer.member("x_train", (num_clips, 300, 150), np.float32) as sink:
            for start in range(0, num_clips, BLOCK):
                sink.append(noise[:min(BLOCK, num_clips - start)])
        writer.write("y_train", np.zeros(num_clips, np.int64))


def timed_s(function: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=10.2, help="of the archive, 10^9 bytes (default: %(default)s)")
    parser.add_argument("--archive", help="an archive to take instead of writing one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(options.archive or Path(folder) / "clips.npz")
        if not options.archive:
            write_archive(path, max(int(options.gb * 1e9) // CLIP_BYTES, 1))
        sources = sources_of(None, {"data_path": str(path)})
        watch = Watch(sources)  # once before it is timed
        data_s = timed_s(lambda: Watch(sources))
        look_s = timed_s(watch.complaint)
        code_s = timed_s(lambda: file_digests(engine_files()))
        machine = describe_machine(torch.device("cpu"))
        print(f"{path.stat().st_size / 1e9:.2f} GB on {machine['cpu']}: data {data_s:.3f} s, code {code_s:.3f} s; each "
              f"epoch's look {1000 * look_s:.3f} ms")


if __name__ == "__main__":
    run_command(main)
