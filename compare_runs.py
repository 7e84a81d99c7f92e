#!/usr/bin/env python3
"""Compare trainings or tests by their work directories: results, curves over each other, recipes, classes.

    python3 compare_runs.py work_dir/joint work_dir/bone --output comparison

Prints the table of results and of what differs in the recipes, and writes comparison.html (one file, nothing to fetch),
curves.png and classes.csv. The first run is what the others are compared with. Not for fusing runs (ensemble.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, run_command


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("work_dirs", type=input_path, nargs="+", metavar="WORK_DIR",
                        help="two or more work directories")
    parser.add_argument("--output", type=Path, default=Path("comparison"), metavar="DIR",
                        help="folder of the three files; those of an earlier comparison are replaced (default: "
                             "%(default)s)")
    parser.add_argument("--class-names", metavar="NAMES", help="ntu60, ntu120, nw-ucla, utd-mhad, msr-action3d, "
                        "synthetic, or a text file with one name a line (default: as the first run recorded)")
    args = parser.parse_args()
    if len(args.work_dirs) < 2:
        raise UserError("give two work directories or more; of a single one, report.py writes the report")
    return args


if __name__ == "__main__":
    OPTIONS = read_early(parse_arguments)  # before the libraries load, which takes seconds

from skeleton_lab.class_names import BY_DATA_SET, read_class_names
from skeleton_lab.data.generate.synthetic_actions import CLASS_NAMES as SYNTHETIC
from skeleton_lab.report.comparison import figures, labels_of, test_set_warnings, write_comparison
from skeleton_lab.report.recipe import differences
from skeleton_lab.report.results import read_run

CLASS_NAMES = {**BY_DATA_SET, "synthetic": SYNTHETIC}


def main(args: argparse.Namespace) -> None:
    runs = [read_run(path) for path in args.work_dirs]
    labels = labels_of(runs)
    classes = max((len(run.counts) for run in runs if run.counts is not None), default=0)
    names = read_class_names(args.class_names, classes, CLASS_NAMES) if args.class_names else None
    print_table(figures(runs, labels))
    for line in test_set_warnings(runs, labels):
        print(f"warning: {line}")
    differing = differences([run.settings for run in runs])
    print("\nThe same settings." if not differing else "")
    if differing:
        print_table([("setting", *labels), *((name, *values) for name, values in differing.items())])
    print("\n" + "\n".join(map(str, write_comparison(runs, args.output, names))))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in columns, the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *others = (cell.rjust(width) if place else cell.ljust(width)
                          for place, (cell, width) in enumerate(zip(row, widths, strict=True)))
        line = "  ".join([first, *others]).rstrip()
        print("".join(char if char.isprintable() else "?" for char in line))  # a config may hold anything


if __name__ == "__main__":
    run_command(main, OPTIONS)
