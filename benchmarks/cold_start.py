"""From a command to the label of one recording: `predict.py` of this checkout and of another, and PyTorch's import.

    python3 benchmarks/cold_start.py --run work_dir/ctrgcn_joint clip.skeleton --against ../older-checkout

The ways take turns, each in a new process with one thread; processor time (user and system) and the clock. A first,
untimed turn brings all files into memory. No `predict.py` can be faster than the import of PyTorch alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from skeleton_lab.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="a training's folder")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout of the lab")
    parser.add_argument("--pairs", type=int, default=5, help="timed turns (default: %(default)s)")
    options = parser.parse_args()
    arguments = ["--run", str(options.run.resolve()), str(options.recording.resolve()), "--device", "cpu"]
    ways = {"this checkout": [str(ROOT / "predict.py"), *arguments], "import torch": ["-c", "import torch"]}
    if options.against:
        ways["the other one"] = [str(options.against.resolve() / "predict.py"), *arguments]
    turns = [{name: seconds(way) for name, way in ways.items()} for _ in range(1 + options.pairs)][1:]
    print(f"{'':<14} {'cpu_s':>7} {'ratio':>6} {'wall_s':>7} {'ratio':>6}   medians of {len(turns)}")
    for name in ways:
        cells = []
        for kind in (0, 1):
            cells += [statistics.median(turn[name][kind] for turn in turns),
                      statistics.median(turn[name][kind] / turn["this checkout"][kind] for turn in turns)]
        print(f"{name:<14} {cells[0]:>7.2f} {cells[1]:>6.2f} {cells[2]:>7.2f} {cells[3]:>6.2f}")


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Run Python and return the processor time and the time (s) that it took."""
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, as on any machine
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, arguments)
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


if __name__ == "__main__":
    run_command(main)
