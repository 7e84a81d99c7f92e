"""Does a packed archive of NTU-60's size open at once and stay small in memory while training reads it?

    python3 benchmarks/packed_store.py

Writes 56,578 clips of random numbers, as long as NTU RGB+D's recordings (about 80 of 300 frames, every fifth with a
second body), to a temporary folder: 1.7 GB. Then one process opens it (headers, places and labels), serves every clip
once in random order for training, and says what it kept resident, its libraries included. Seconds are the processor's,
but for opening. The file is in the page cache; it does not measure disks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "CTR-GCN")]

import numpy as np

from skeleton_lab.data.formats.archive import NpzWriter, blocks
from skeleton_lab.data.formats.packed import ABSENT, ROW_VALUES
from skeleton_lab.errors import run_command

NUM_CLIPS = 56_578
BATCH_SIZE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=NUM_CLIPS, help="clips in the archive (default %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to put the archive for the time (default: the system's)")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)  # the second process
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read(options.read)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "packed.npz"
        num_rows = write(path, options.clips)
        print(f"{options.clips} clips, {num_rows} rows, {path.stat().st_size / 1e9:.2f} GB")
        done = subprocess.run([sys.executable, __file__, "--read", path], check=True, capture_output=True, text=True)
        for name, value in json.loads(done.stdout).items():
            print(f"{name:28} {value:,.3g}" if value < 100 else f"{name:28} {value:,.0f}")


def write(path: Path, num_clips: int) -> int:
    """Write the archive, all of it as the training split; return its number of rows."""
    rng = np.random.default_rng(0)
    length = np.clip(rng.gamma(7, 11.5, num_clips), 32, 300).astype(np.int64)
    bodies = 1 + (rng.random(num_clips) < 0.2)
    first = np.cumsum(length * bodies) - length * bodies
    tracks = np.stack([length, first, np.where(bodies == 2, first + length, ABSENT)], axis=1)
    num_rows = int((length * bodies).sum())
    noise = rng.standard_normal((1 << 16, ROW_VALUES)).astype(np.float32)
    with NpzWriter(path) as writer:
        with writer.member("x_train", (num_rows, ROW_VALUES), np.float32) as sink:
            for rows in blocks(num_rows, ROW_VALUES * 4):
                sink.append(noise[:rows.stop - rows.start])
        writer.write("tracks_train", tracks)
        writer.write("y_train", rng.integers(0, 60, num_clips))
    return num_rows


def read(path: Path) -> dict[str, float]:
    """Open the archive and serve every clip once, as in training; return what that took."""
    import torch
    from feeders.feeder_ntu import Feeder  # after torch, so that its memory is told apart
    torch.set_num_threads(1)
    libraries_mb = peak_resident_mb()
    start = time.perf_counter()
    feeder = Feeder(str(path), split="train", window_size=64, p_interval=[0.5, 1], random_rot=True)
    open_s = time.perf_counter() - start
    start = time.process_time()
    order = np.random.default_rng(0).permutation(len(feeder))
    for first in range(0, len(order), BATCH_SIZE):
        feeder.get_batch(order[first:first + BATCH_SIZE].tolist())
    epoch_s = time.process_time() - start
    return {"open_s": open_s, "clips_per_s": len(feeder) / epoch_s, "libraries_mb": libraries_mb,
            "peak_resident_mb": peak_resident_mb()}


def peak_resident_mb() -> float:
    """Return the most memory that this process has had resident so far, mapped files included (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("/proc/self/status does not tell the resident memory")


if __name__ == "__main__":
    run_command(main)
