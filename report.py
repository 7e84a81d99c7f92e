#!/usr/bin/env python3
"""Write the report of a training or a test: one HTML file, in its work directory, to read, print or send.

    python3 report.py work_dir/ctrgcn_ntu60_xsub_joint

A training and a test write it at their end; this writes it again, of an older or unfinished run too. Not for comparing
runs (compare_runs.py), nor for testing weights (main.py --phase test).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, run_command


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("work_dir", type=input_path, help="work directory of a training or a test")
    parser.add_argument("--class-names", metavar="NAMES", help="ntu60, ntu120, nw-ucla, utd-mhad, msr-action3d, "
                        "synthetic, or a text file with one name a line (default: as the run recorded)")
    parser.add_argument("--tree", type=Path, metavar="DIR", help="folder of the model's main.py (default: the one in "
                        "this checkout that has the config's model)")
    parser.add_argument("--clips", action=argparse.BooleanOptionalAction, default=True,
                        help="show the clips that were confused, from the test data (default: yes, where it is found)")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(parse_arguments)  # before the libraries load, which takes seconds

from skeleton_lab.class_names import BY_DATA_SET, read_class_names
from skeleton_lab.data.generate.synthetic_actions import CLASS_NAMES as SYNTHETIC
from skeleton_lab.imports import construct
from skeleton_lab.report.results import Run, read_run
from skeleton_lab.report.run_report import write_report
from skeleton_lab.skeleton_names import find_skeleton
from skeleton_lab.train.config import default_settings
from skeleton_lab.train.trained import find_tree, load_spec

CLASS_NAMES = {**BY_DATA_SET, "synthetic": SYNTHETIC}


def main(args: argparse.Namespace) -> None:
    run = read_run(args.work_dir.resolve())
    classes = 0 if run.counts is None else len(run.counts)
    names = read_class_names(args.class_names, classes, CLASS_NAMES) if args.class_names else None
    defaults, feeder, reason = open_tree(run, args.tree, args.clips)
    print(write_report(run.path, defaults, feeder, names, reason))


def open_tree(run: Run, tree: Path | None, clips: bool) -> tuple[dict[str, Any], Any, str]:
    """Return the tree's default settings, the feeder of the test data, and, where there is none, why."""
    config = next(path for path in (run.path / "config.yaml", run.path / "config_test.yaml") if path.is_file())
    try:
        spec = load_spec(find_tree(config, tree))
    except UserError as error:
        return {}, None, str(error)
    if not clips:
        return default_settings(spec), None, "left out by --no-clips"
    os.chdir(spec.root)  # a config's paths are relative to its tree
    try:
        options = run.settings.get("test_feeder_args") or {}
        feeder = construct(str(run.settings.get("feeder")), options, "test_feeder_args")
    except (UserError, OSError) as error:
        return default_settings(spec), None, str(error)
    if getattr(feeder, "skeleton", run) is None:  # its files do not tell, but the run recorded it
        feeder.skeleton = find_skeleton(str(run.record.get("skeleton")))
    return default_settings(spec), feeder, ""


if __name__ == "__main__":
    run_command(main, OPTIONS)
