#!/usr/bin/env python3
"""The lab's main job on generated data: make, inspect, convert, train two streams, test, ensemble.

    make demo          (or: python3 demo.py)

Needs no download and no GPU; about 4 minutes on two cores. Everything lands in demo/, or, where an earlier one is, in
demo-2/ and so on. Not for judging the models: the data set is procedural, and small enough for a laptop.
"""

import argparse
import csv
import itertools
import json
import os
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.children import child
from skeleton_lab.command.options import Parser
from skeleton_lab.errors import UserError, run_command

TREE = ROOT / "CTR-GCN"
STREAMS = {"joint": "bone=False", "bone": "bone=True"}


def main() -> int:
    args = parse_arguments()
    if not TREE.is_dir():
        raise UserError(f"{TREE}: not here, and the demo trains CTR-GCN; run it in CTR-GCN's image or in a checkout")
    start = time.perf_counter()
    out = unused(args.output.resolve())
    kaggle, converted = str(out / "NTU60_CS.npz"), str(out / "NTU60_CS_ctrgcn.npz")
    run("Generate a data set: 10 actions, subjects of the test never seen in training",
        "dataset_tools/make_synthetic_ntu60.py", "--output", kaggle,
        "--train", str(args.train_clips), "--test", str(args.test_clips))
    run("Look into the archive", "dataset_tools/inspect_npz.py", kaggle)
    run("Convert it to the layout (N, C, T, V, M)",
        "convert_ntu60_kaggle_to_ctrgcn.py", "--input", kaggle, "--output", converted)
    options = {stream: f"{option},data_path={converted}" for stream, option in STREAMS.items()}
    common = {stream: ("--config", "config/demo/default.yaml", "--test-feeder-args", option)
              for stream, option in options.items()}
    train_both({stream: (*common[stream], "--train-feeder-args", option, "--num-epoch", str(args.epochs), "--work-dir",
                         str(out / stream)) for stream, option in options.items()})
    for stream in STREAMS:
        run(f"Test the best weights of the {stream} stream on unseen subjects", "main.py", *common[stream], "--phase",
            "test", "--weights", str(out / stream / "best.pt"), "--save-score", "true",
            "--work-dir", str(out / f"{stream}_test"), folder=TREE)
    fused = run("Ensemble of both streams", "ensemble.py", "--dataset", "ntu/xsub", "--labels", converted,
                "--joint-dir", str(out / "joint_test"), "--bone-dir", str(out / "bone_test"), folder=TREE)
    print_table(out, fused, time.perf_counter() - start)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "demo", metavar="DIR",
                        help="folder for everything; one that holds something is left as it is (default: demo)")
    parser.add_argument("--train-clips", type=int, default=400, help="clips to train on (default: 400)")
    parser.add_argument("--test-clips", type=int, default=200, help="clips to test on (default: 200)")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of each stream (default: 5)")
    return parser.parse_args()


def unused(folder: Path) -> Path:
    """Return a folder that nothing is in yet: `folder`, or its name with the first number that makes it one."""
    try:
        names = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
        free = next(path for path in itertools.chain([folder], names) if not path.exists() or not any(path.iterdir()))
    except OSError as error:
        raise UserError(f"{folder}: cannot be the folder for everything ({error.strerror}); choose another with "
                        "--output") from None
    if free != folder:
        print(f"{os.path.relpath(folder)} holds something already and stays as it is: this goes to "
              f"{os.path.relpath(free)}")
    return free


def train_both(arguments: dict[str, tuple[str, ...]]) -> None:
    """Train the streams side by side, a core each, which is faster than one after the other on two.

    The first one's output is shown; the others' is in the log.txt of their work directories.
    """
    shown, *quiet = arguments
    one_core = {**os.environ, "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        others = [stack.enter_context(child([sys.executable, "main.py", *arguments[stream]], cwd=TREE, env=one_core,
                                            stdout=subprocess.DEVNULL)) for stream in quiet]
        run(f"Train the {shown} stream, and beside it, unseen, the {', '.join(quiet)} stream", "main.py",
            *arguments[shown], folder=TREE, environment=one_core)
        for other in others:
            if other.wait():
                sys.exit(other.returncode)


def run(title: str, script: str, *arguments: str, folder: Path = ROOT,
        environment: dict[str, str] | None = None) -> str:
    """Show a command and run it; return what it printed, which is passed on line by line.

    A command that fails ends the demo with its status; its own message stands above.
    """
    place = "" if folder == ROOT else f"cd {folder.name} && "
    print(f"\n=== {title}\n$ {place}python3 {script} {shlex.join(arguments)}", flush=True)
    lines = []
    with child([sys.executable, script, *arguments], cwd=folder, stdout=subprocess.PIPE, env=environment) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        process.wait()
    if process.returncode:
        sys.exit(process.returncode)
    return "".join(lines)


def print_table(out: Path, fused: str, seconds: float) -> None:
    """Print top-1, top-5 and speed of each stream and of the ensemble, where to look further, and what to do next."""
    print(f"\n{'':10}{'top-1':>8}{'top-5':>8}{'training clips/s':>19}")
    for stream in STREAMS:
        with open(out / stream / "history.csv", newline="") as file:
            epochs = list(csv.DictReader(file))
        speed = sum(float(row["clips_per_s"]) for row in epochs) / len(epochs)
        top1, top5 = tested(out / f"{stream}_test")
        print(f"{stream:10}{top1:>7}%{top5:>7}%{speed:>19.1f}")
    top1, top5 = (line.split()[-1].rstrip("%") for line in fused.splitlines() if line.startswith("Top"))
    print(f"{'ensemble':10}{float(top1):>7.2f}%{float(top5):>7.2f}%")
    shown = shlex.quote(os.path.relpath(out))
    names = json.loads((out / "joint" / "run.json").read_text())["class_names"]
    print(f"\nDone in {seconds / 60:.1f} minutes. The actions: {'; '.join(names)}."
          f"\nThe report of the test: {shown}/joint_test/report.html; of the training: {shown}/joint/report.html"
          f"\nNext, what one of the clips shows, with a picture:"
          f"\n  python3 predict.py --run {shown}/joint {shown}/NTU60_CS.npz --split test --index 0 --gif clip.gif")


def tested(folder: Path) -> tuple[str, ...]:
    """Return top-1 and top-5 (%) from the log of a stream's test."""
    log = (folder / "log.txt").read_text().splitlines()
    return tuple(next(line.split()[-1].rstrip("%") for line in reversed(log) if f"Top{k}:" in line) for k in (1, 5))


if __name__ == "__main__":
    run_command(main)
