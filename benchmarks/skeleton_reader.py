"""How much faster are raw recordings read, and made into archives, than the straightforward way?

    python3 benchmarks/skeleton_reader.py

Makes procedural recordings in a temporary folder (or takes --skeletons) and sets the lab beside the plain code in
`benchmarks/plain_skeletons.py`, alternating, in one run: on a shared machine only the ratios mean something. First the
readers alone, in processor seconds of one process; then both complete ways from .skeleton files to NTU60_CS.npz and
NTU60_CV.npz, in elapsed seconds, the plain one in one process, the lab's command with one and with two. Results are
compared before they are timed. Files are in the page cache, and each round's results are deleted before the next: it
does not measure disks, nor how a machine finds memory for ever more files.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np
from plain_skeletons import make_archives_plain, read_plain

from skeleton_lab.data.formats.skeleton_file import read_recording
from skeleton_lab.errors import run_command

TOOLS = ROOT / "dataset_tools"


def main() -> None:
    """Run both comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skeletons", type=Path, metavar="DIR", help="folder of NTU60 recordings (default: made up)")
    parser.add_argument("--count", type=int, default=400, help="recordings to make or take (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "recordings"
        if options.skeletons is None:
            run_tool("make_synthetic_skeletons.py", "--output", source, "--count", options.count, "--classes", 20)
        else:
            source.mkdir()
            for path in sorted(options.skeletons.glob("*.skeleton"))[:options.count]:
                (source / path.name).symlink_to(path.resolve())
        paths = sorted(source.iterdir())
        compare_readers(paths[:100], options.rounds)
        compare_pipelines(paths, Path(scratch), options.rounds)


def compare_readers(paths: Sequence[Path], rounds: int) -> None:
    """Print recordings a second of both readers, and the ratio."""
    frames = []
    for path in paths:
        recording, (_, bodies, _) = read_recording(path), read_plain(path)
        frames.append(len(recording.frames))
        for name, body in bodies.items():
            own = [number for number, body_id in enumerate(recording.body_ids) if body_id == name]
            np.testing.assert_array_equal(recording.joints[own].astype(np.float32).reshape(-1, 3), body["joints"])
            np.testing.assert_array_equal(recording.tracking[own], body["states"])
    ratios = []
    for _ in range(rounds):
        seconds = {name: timed(lambda read=read: [read(path) for path in paths], time.process_time)
                   for name, read in (("plain", read_plain), ("lab", read_recording))}
        ratios.append(seconds["plain"] / seconds["lab"])
        print(f"reader: {len(paths)} recordings of {statistics.mean(frames):.0f} bodies x frames: plain "
              f"{len(paths) / seconds['plain']:.0f}/s, lab {len(paths) / seconds['lab']:.0f}/s, ratio {ratios[-1]:.1f}")
    print(f"reader: {statistics.median(ratios):.1f} times the plain one's recordings a second, per core")


def compare_pipelines(paths: Sequence[Path], scratch: Path, rounds: int) -> None:
    """Print elapsed seconds from recordings to archives, and the ratios."""
    ratios: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        plain_folder = scratch / f"plain{number}"
        plain_folder.mkdir()
        plain_s = timed(lambda: make_archives_plain(paths, plain_folder), time.perf_counter)  # noqa: B023
        line = f"pipeline: {len(paths)} recordings: plain {plain_s:.1f} s"
        for jobs in ratios:
            folder = scratch / f"lab{number}-{jobs}"
            lab_s = timed(lambda: run_tool("make_ctrgcn_archives.py", "ntu60", "--skeletons", paths[0].parent,
                                           "--out-folder", folder, "--jobs", jobs), time.perf_counter)  # noqa: B023
            require_equal(plain_folder, folder)
            shutil.rmtree(folder)
            ratios[jobs].append(plain_s / lab_s)
            line += f", lab with {jobs} job{'s' * (jobs > 1)} {lab_s:.1f} s (ratio {ratios[jobs][-1]:.1f})"
        shutil.rmtree(plain_folder)
        print(line)
    for jobs, values in ratios.items():
        print(f"pipeline: {statistics.median(values):.1f} times as fast with {jobs} job{'s' * (jobs > 1)}, start-up "
              "included")


def require_equal(one: Path, other: Path) -> None:
    """Assert that both folders hold the same archives."""
    for path in one.iterdir():
        with np.load(path) as expected, np.load(other / path.name) as found:
            for key in expected.files:
                np.testing.assert_array_equal(found[key], expected[key])


def run_tool(script: str, *arguments: object) -> None:
    """Run a script of dataset_tools/ to its end, silently."""
    subprocess.run([sys.executable, TOOLS / script, *map(str, arguments)], check=True, capture_output=True)


def timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return how long `work` takes by `clock`, in seconds."""
    os.sync()  # what was written before is not for this one to wait for
    start = clock()
    work()
    return clock() - start


if __name__ == "__main__":
    run_command(main)
