"""How fast, how lean and how well resumed are the ways from raw recordings to training files?

    python3 benchmarks/raw_pipelines.py

Makes 2,000 procedural recordings (or takes --skeletons) and runs CTR-GCN's pipeline (dataset_tools/
make_ctrgcn_archives.py) and MS-G3D's (MS-G3D/data_gen/ntu_gendata.py), each command in a process of its own:

- all recordings and a quarter of them, with one and with two jobs: recordings a second, processor seconds, and the
  peak resident memory of the largest process, which must not depend on the number of recordings;
- with one job, killed with SIGKILL at a quarter, a half and three quarters of its processor time and run again: the
  share of processor time spent twice, and whether the files are the same to the bit.

Elapsed times mean little on a machine that others use too; processor seconds mean more.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from skeleton_lab.errors import run_command

Command = Callable[[Path, Path, int], list[str]]
# A process's peak begins with that of the process it was forked from: start the command from a small one.
RUNNER = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def ctrgcn(source: Path, output: Path, jobs: int) -> list[str]:
    """Return the command line of CTR-GCN's pipeline."""
    return [sys.executable, str(ROOT / "dataset_tools/make_ctrgcn_archives.py"), "ntu60", "--skeletons", str(source),
            "--out-folder", str(output), "--jobs", str(jobs)]


def msg3d(source: Path, output: Path, jobs: int) -> list[str]:
    """Return the command line of MS-G3D's pipeline."""
    return [sys.executable, str(ROOT / "MS-G3D/data_gen/ntu_gendata.py"), "--data_path", str(source),
            "--out_folder", str(output), "--jobs", str(jobs)]


PIPELINES: dict[str, Command] = {"CTR-GCN": ctrgcn, "MS-G3D": msg3d}


def main() -> None:
    """Run everything and print one line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skeletons", type=Path, metavar="DIR", help="folder of NTU60 recordings (default: made up)")
    parser.add_argument("--count", type=int, default=2000, help="recordings to make or take (default: %(default)s)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to work (default: the temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch)
        source = options.skeletons or folder / "made"
        if options.skeletons is None:
            subprocess.run([sys.executable, ROOT / "dataset_tools/make_synthetic_skeletons.py", "--output", source,
                            "--count", str(options.count), "--classes", "20"], check=True, capture_output=True)
        paths = sorted(source.glob("*.skeleton"))[:options.count]
        sets = [link(paths[::4], folder / "quarter"), link(paths, folder / "all")]
        for name, command in PIPELINES.items():
            for recordings in sets:
                for jobs in (1, 2):
                    measure(name, command, recordings, folder / "out", jobs)
        for name, command in PIPELINES.items():
            interrupt(name, command, sets[0], folder)


def link(paths: Sequence[Path], folder: Path) -> Path:
    """Return a folder of links to recordings."""
    folder.mkdir()
    for path in paths:
        (folder / path.name).symlink_to(path.resolve())
    return folder


def measure(name: str, command: Command, source: Path, output: Path, jobs: int) -> None:
    """Run a pipeline from nothing and print what it took."""
    count = len(list(source.iterdir()))
    found = subprocess.run([sys.executable, "-c", RUNNER, *command(source, output, jobs)], check=True,
                           capture_output=True, text=True)
    elapsed_s, processor_s, peak_mib = map(float, found.stdout.split())
    shutil.rmtree(output)
    print(f"{name}: {count} recordings, {jobs} job{'s' * (jobs > 1)}: {elapsed_s:.1f} s ({count / elapsed_s:.0f}/s), "
          f"{processor_s:.1f} processor s ({count / processor_s:.0f}/s), peak {peak_mib:.0f} MiB in one process",
          flush=True)


def interrupt(name: str, command: Command, source: Path, folder: Path) -> None:
    """Kill a pipeline part-way, run it again, and print what that cost."""
    whole_s = run_for(command(source, folder / "whole", 1))
    for share in (0.25, 0.5, 0.75):
        output = folder / "interrupted"
        first_s = run_for(command(source, output, 1), share * whole_s)
        second_s = run_for(command(source, output, 1))
        repeated = (first_s + second_s - whole_s) / whole_s
        same = digests(output) == digests(folder / "whole")
        print(f"{name}: killed after {100 * first_s / whole_s:.0f} % of the work, run again: {100 * repeated:.0f} % of "
              f"it repeated; files {'the same' if same else 'DIFFER'}", flush=True)
        shutil.rmtree(output)
    shutil.rmtree(folder / "whole")


def run_for(command: list[str], limit_s: float | None = None) -> float:
    """Run a command to its end, or kill it when it has used `limit_s` of processor time; return the time it used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while limit_s is not None and process.poll() is None:
        if processor_seconds(process.pid) >= limit_s:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def processor_seconds(process: int) -> float:
    """Return the processor time that a running process has used (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def digests(folder: Path) -> dict[str, str]:
    """Return the digests of the training files in a folder."""
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.suffix in (".npz", ".npy", ".pkl")
            and "_data" not in path.parent.name}


if __name__ == "__main__":
    run_command(main)
