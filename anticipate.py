#!/usr/bin/env python3
"""How early is an action recognised? Accuracy against the observed share of each clip, for trained models.

    python3 anticipate.py --run work_dir/ctrgcn_joint work_dir/ctrgcn_joint_random --output anticipation

Tests the best weights of each work directory (of any model here) on the first 10 %, 20 %, ..., 100 % of every test
clip, by the tree's own `main.py --phase test --observe`, and writes curves.csv, curves.png and the scores of each test.
The last point is the plain test, to the bit. What to compare: a model trained on whole clips, and one trained with
`main.py --observe random`. See docs/anticipation.md.

Not for: training, or predicting what comes next (dataset_tools/make_next_action_set.py makes data for that).
"""

import argparse
import csv
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.command.shares import share_range
from skeleton_lab.errors import UserError, run_command
from skeleton_lab.train.workdir import BEST_WEIGHTS

SHARES = tuple(percent / 100 for percent in range(10, 101, 10))
CLASS_TABLE = "epoch1_test_each_class_acc.csv"
COLUMNS = ("run", "observed_percent", "top1_percent", "right_clips", "clips")


def read_options() -> tuple[argparse.Namespace, list[str]]:
    """Return the options, and what stands after `--`."""
    argv = sys.argv[1:]
    end = argv.index("--") if "--" in argv else len(argv)
    parser = Parser(
        __doc__, epilog="Flags for main.py follow after --, for data that moved say:\n    python3 anticipate.py --run "
                        "RUN --output OUT -- --test-feeder-args data_path=/data/NTU60_CS.npz")
    parser.add_argument("--run", type=input_path, nargs="+", required=True, metavar="WORK_DIR",
                        help=f"work directories of trainings: their config.yaml and {BEST_WEIGHTS}; one line each")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the table, the picture "
                        "and the tests; what it holds of an earlier measurement is replaced")
    parser.add_argument("--shares", type=share, nargs="+", default=SHARES, metavar="SHARE",
                        help="shares of each clip to test on, in (0, 1] (default: 0.1 0.2 ... 1)")
    options = parser.parse_args(argv[:end])
    options.shares = tuple(sorted(set(options.shares)))
    return options, argv[end + 1:]


def share(word: str) -> float:
    """Read a number in (0, 1]."""
    try:
        return share_range(float(word))[0]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number in (0, 1], not {word}") from None


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from skeleton_lab.children import run_child
from skeleton_lab.files import replacing, write_text
from skeleton_lab.train.trained import find_tree


@dataclass(frozen=True)
class Curve:
    """A run's tests: how many of `clips` were `right` when each of `shares` was seen; the number of `classes`."""

    name: str
    shares: tuple[float, ...]
    right: tuple[int, ...]
    clips: int
    classes: int

    @property
    def percents(self) -> list[float]:
        """Top-1 accuracies (%)."""
        return [100 * right / self.clips for right in self.right]

    @property
    def area(self) -> float:
        """The area under the curve, as the mean accuracy (%) over the shares that it covers."""
        heights, widths = np.array(self.percents), np.diff(self.shares)
        return float((heights[1:] + heights[:-1]) @ widths / 2 / widths.sum()) if len(widths) else float(heights[0])


def main(options: argparse.Namespace, flags: Sequence[str]) -> None:
    names = short_names(options.run)
    trees = [open_run(run) for run in options.run]  # before the first test takes its time
    curves = []
    with tqdm(total=len(names) * len(options.shares), unit="test", disable=None) as progress:
        for name, run, tree in zip(names, options.run, trees, strict=True):
            tests = []
            with tempfile.TemporaryDirectory() as scratch:  # tests write beside the weights: not in the run's folder
                weights = shutil.copy(run / BEST_WEIGHTS, scratch)
                for share in options.shares:
                    progress.set_postfix_str(f"{name}, {100 * share:g} %")
                    folder = options.output / name / f"observed_{100 * share:g}"
                    tests.append(test_at(share, run, tree, folder, ("--weights", weights, *flags)))
                    progress.update()
            right, clips, classes = (tuple(column) for column in zip(*tests, strict=True))
            curves.append(Curve(name, options.shares, right, clips[0], classes[0]))
            write_table(options.output / "curves.csv", curves)
            draw(options.output / "curves.png", curves)
    print_table(curves)
    print(f"wrote {options.output / 'curves.csv'} and {options.output / 'curves.png'}")


def short_names(runs: Sequence[Path]) -> list[str]:
    """Return a name for each work directory: the end of its path, as long as it takes to tell them apart."""
    paths = [run.resolve().parts for run in runs]
    if len(set(paths)) < len(paths):
        raise UserError("--run: names the same work directory twice; name each once")
    length = 1
    while len({path[-length:] for path in paths}) < len(paths):
        length += 1
    return ["_".join(part.strip("/") for part in path[-length:]) or "root" for path in paths]


def open_run(run: Path) -> Path:
    """Return the tree that a run is of.

    Raises:
        UserError: it is no work directory of a finished training, or of no model here.
    """
    for name in ("config.yaml", BEST_WEIGHTS):
        if not (run / name).is_file():
            raise UserError(f"{run}: holds no {name}; give the work directory of a training that has been evaluated at "
                            "least once")
    return find_tree(run.resolve() / "config.yaml", None)


def test_at(share: float, run: Path, tree: Path, folder: Path, flags: Sequence[str]) -> tuple[int, int, int]:
    """Test a run on the first `share` of each clip, in `folder`; return the numbers of right clips, clips and classes.

    Raises:
        UserError: the test failed; its own complaint.
    """
    command = [sys.executable, "main.py", "--config", run.resolve() / "config.yaml", "--phase", "test",
               "--save-score", "true", *flags, "--observe", str(share), "--work-dir", folder.resolve()]
    done = run_child(command, cwd=tree, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or ["no complaint"])[-1]
        raise UserError(f"{run}: the test on {100 * share:g} % of each clip failed (status {done.returncode}): "
                        f"{complaint.partition('error: ')[2] or complaint}")
    counts = np.loadtxt(folder / CLASS_TABLE, delimiter=",", skiprows=1, ndmin=2)  # row: true class
    return int(np.trace(counts)), int(counts.sum()), len(counts)


def write_table(path: Path, curves: Sequence[Curve]) -> None:
    """Write a row for each test."""
    text = io.StringIO()
    rows = [(curve.name, f"{100 * share:g}", f"{percent:.4f}", right, curve.clips) for curve in curves
            for share, percent, right in zip(curve.shares, curve.percents, curve.right, strict=True)]
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    write_text(path, text.getvalue())


def draw(path: Path, curves: Sequence[Curve]) -> None:
    """Draw a line for each run, and where chance is if all have as many classes."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for curve, marker in zip(curves, "os^vD*Xp" * len(curves), strict=False):
        axes.plot([100 * share for share in curve.shares], curve.percents, marker=marker, markersize=5, clip_on=False,
                  label=f"{curve.name} (area {curve.area:.1f} %)")
    if len({curve.classes for curve in curves}) == 1:
        axes.axhline(100 / curves[0].classes, linestyle=":", color="gray", label=f"chance, {curves[0].classes} classes")
    axes.set_xlabel("observed share of each clip, from its first frame (%)")
    axes.set_ylabel("top-1 accuracy (%)")
    axes.set_xticks([100 * share for share in curves[0].shares])
    axes.set_xlim(left=0)
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def print_table(curves: Sequence[Curve]) -> None:
    """Print accuracies (%), a row for each share, and the areas under the curves."""
    widths = [max(len(curve.name), 6) + 2 for curve in curves]
    print("observed" + "".join(f"{curve.name:>{width}}" for curve, width in zip(curves, widths, strict=True)))
    for number, share in enumerate(curves[0].shares):
        print(f"{100 * share:>6g} %" + "".join(f"{curve.percents[number]:>{width}.2f}"
                                               for curve, width in zip(curves, widths, strict=True)))
    print(f"{'area':>8}" + "".join(f"{curve.area:>{width}.2f}" for curve, width in zip(curves, widths, strict=True)))


if __name__ == "__main__":
    run_command(main, *OPTIONS)
