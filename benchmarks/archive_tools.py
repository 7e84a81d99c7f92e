"""How fast and how lean are the archive tools? Inspects a 10 GB archive, converts a 4 GB one, each in its own process.

    python3 benchmarks/archive_tools.py --folder /tmp --convert-gb 4

Needs twice the converted size free in the folder and removes what it wrote. Conversion is set beside a plain copy of
the same file to the same disk (`cp` and `sync`), in the same run, alternating: on a shared machine only the ratio means
something. It is not a test of the disk.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np

from skeleton_lab.data.formats import archive
from skeleton_lab.errors import run_command
from tests.archives import write_sparse_npz

NUM_FRAMES, CLIP_BYTES = 300, 300 * 150 * 4
# A process's peak begins with that of the process it was forked from: start the command from a small one.
RUNNER = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()),
                        help="where to work (default: %(default)s)")
    parser.add_argument("--inspect-gb", type=float, default=10.2,
                        help="size of the sparse archive, GB (default: %(default)s)")
    parser.add_argument("--convert-gb", type=float, default=4,
                        help="size of the archive to convert, GB (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=2, help="conversions and copies (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        inspect(Path(folder) / "sparse.npz", int(options.inspect_gb * 1e9 / CLIP_BYTES))
        convert(Path(folder), int(options.convert_gb * 1e9 / CLIP_BYTES), options.repeat)


def inspect(path: Path, num_clips: int) -> None:
    num_test = num_clips * 3 // 10
    arrays = {}
    for split, count in (("train", num_clips - num_test), ("test", num_test)):
        arrays |= {f"x_{split}": ((count, NUM_FRAMES, 150), "<f4"), f"y_{split}": np.eye(60)[np.arange(count) % 60]}
    write_sparse_npz(path, arrays)
    measure("inspect", path.stat().st_size, "dataset_tools/inspect_npz.py", "--path", path)
    code = (f"from skeleton_lab.data.formats.layouts import open_split; "
            f"open_split({str(path)!r}, 'train').frames(7).sum()")
    measure("open", path.stat().st_size, "-c", code)
    path.unlink()


def convert(folder: Path, num_clips: int, repeat: int) -> None:
    source, output = folder / "kaggle.npz", folder / "converted.npz"
    counts = {"train": num_clips - num_clips * 3 // 10, "test": num_clips * 3 // 10}
    with archive.NpzWriter(source) as writer:
        for split, count in counts.items():
            with writer.member(f"x_{split}", (count, NUM_FRAMES, 150), np.float32) as sink:
                for index in range(count):
                    sink.append(clip(split, index)[None])
            writer.write(f"y_{split}", np.eye(60)[np.arange(count) % 60])
    size = source.stat().st_size
    measure("inspect --check", size, "dataset_tools/inspect_npz.py", "--path", source, "--check")
    seconds: dict[str, list[float]] = {"convert": [], "copy": []}
    for _ in range(repeat):
        seconds["convert"].append(measure("convert", size, "convert_ntu60_kaggle_to_ctrgcn.py", "--input", source,
                                          "--output", output, "--overwrite"))
        check(output, counts)
        output.unlink()
        start = time.perf_counter()
        subprocess.run(["cp", source, output], check=True)
        subprocess.run(["sync", output], check=True)
        seconds["copy"].append(time.perf_counter() - start)
        output.unlink()
    print(f"convert / copy: {min(seconds['convert']) / min(seconds['copy']):.2f} of the time "
          f"(copy: {size / 1e9 / min(seconds['copy']):.2f} GB/s)")


def clip(split: str, index: int) -> np.ndarray:
    """Return the clip (T, 150) that stands at `index` of a split: cheap to make, different for each index."""
    ramp = np.arange(NUM_FRAMES * 150, dtype=np.float32).reshape(NUM_FRAMES, 150)
    return ramp * np.float32(1e-3) + np.float32(index + (0.5 if split == "test" else 0))


def check(output: Path, counts: dict[str, int]) -> None:
    """Compare clips at the start, middle and end of both splits with the values they were made of, bit by bit."""
    for split, count in counts.items():
        mapped, labels = archive.map_array(output, f"x_{split}"), archive.map_array(output, f"y_{split}")
        assert mapped.shape == (count, 3, NUM_FRAMES, 25, 2) and labels.dtype == np.int64
        assert np.array_equal(labels, np.arange(count) % 60)
        for index in (0, 1, count // 2, count - 2, count - 1):
            expected = clip(split, index)
            for value in range(150):
                body, joint, coordinate = value // 75, value % 75 // 3, value % 3
                assert mapped[index, coordinate, :, joint, body].tobytes() == expected[:, value].tobytes()
    print("  bit-identical at the start, middle and end of both splits")


def measure(name: str, size: int, *arguments: str | Path) -> float:
    """Run a Python command, print its time and peak resident memory, and return its seconds."""
    finished = subprocess.run([sys.executable, "-c", RUNNER, sys.executable, *map(str, arguments)], cwd=ROOT,
                              stdout=subprocess.PIPE, text=True)
    if finished.returncode:
        raise SystemExit(f"{name} failed")
    elapsed, cpu_s, peak_mib = map(float, finished.stdout.split())
    print(f"{name}: {size / 1e9:.2f} GB in {elapsed:.2f} s ({size / 1e9 / elapsed:.2f} GB/s; "
          f"{cpu_s:.2f} s of CPU), peak {peak_mib:.0f} MiB resident", flush=True)
    return elapsed


if __name__ == "__main__":
    run_command(main)
