#!/usr/bin/env python3
"""Fuse the test scores of MS-G3D's two streams, joint and bone.

Run inside this folder, after testing each stream:
    python3 ensemble.py --dataset ntu/xsub --joint-dir ../work_dir/joint --bone-dir ../work_dir/bone

Not for: choosing --alpha on the test set. The published results weigh both streams alike.
"""

import argparse
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.command.options import Parser, read_early
from skeleton_lab.errors import run_command

DATASETS = ("kinetics", "ntu/xsub", "ntu/xview", "ntu120/xsub", "ntu120/xset")


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--dataset", required=True, choices=DATASETS, help="the data set tested")
    parser.add_argument("--alpha", type=float, default=1.0, help="weight of bone beside joint (default: %(default)g)")
    parser.add_argument("--joint-dir", required=True, help="work directory of the joint stream's test")
    parser.add_argument("--bone-dir", required=True, help="work directory of the bone stream's test")
    parser.add_argument("--labels", help="label file (default: data/<dataset>/val_label.pkl)")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(parse_arguments)  # before the libraries load, which takes seconds

from skeleton_lab.data.formats.labels import read_labels
from skeleton_lab.foreign.score_file import read_streams
from skeleton_lab.streams.fuse import print_accuracies


def main(args: argparse.Namespace) -> int:
    streams, truth = read_streams(("joint", "bone"), (args.joint_dir, args.bone_dir), args.labels)
    if truth is None:
        names, labels = read_labels(args.labels or f"data/{args.dataset}/val_label.pkl")
        truth = dict(zip(names, labels, strict=True))
    print_accuracies(streams, [1.0, args.alpha], truth)
    return 0


if __name__ == "__main__":
    run_command(main, OPTIONS)
