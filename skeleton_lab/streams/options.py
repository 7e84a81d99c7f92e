"""The command line for fusing a model's streams on NTU RGB+D or NW-UCLA; nothing here is slow to import."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from skeleton_lab.command.options import Parser

NTU_ARCHIVES = {
    "ntu/xsub": "data/ntu/NTU60_CS.npz",
    "ntu/xview": "data/ntu/NTU60_CV.npz",
    "ntu120/xsub": "data/ntu120/NTU120_CSub.npz",
    "ntu120/xset": "data/ntu120/NTU120_CSet.npz",
}
UCLA = "NW-UCLA"
UCLA_LABELS = "data/NW-UCLA/val_label.pkl"
STREAMS = ("joint", "bone", "joint-motion", "bone-motion")


def read_options(sizes: Sequence[str] = (), more: Sequence[str] = ()) -> argparse.Namespace:
    """Read the options.

    Args:
        sizes: of the model, the usual one first, if weights differ by that. more: streams that a tree has besides.
    """
    parser = Parser(
        "Fuse the test scores of a model's streams: joint, bone, and their motions.",
        epilog="example: python3 ensemble.py --dataset ntu/xsub --joint-dir ../work_dir/joint --bone-dir "
               "../work_dir/bone")
    parser.add_argument("--dataset", "--datasets", required=True, choices=[*NTU_ARCHIVES, UCLA],
                        help="the data set tested")
    parser.add_argument("--alpha", type=float, help="weight of bone beside joint, two streams only (default: 1)")
    parser.add_argument("--weights", type=float, nargs="+", metavar="W",
                        help=f"one weight for each given stream, in the order {', '.join((*STREAMS, *more))} "
                             "(default: 1 and alpha, or "
                             f"{'the published ones' if sizes else '0.6 0.6 0.4 0.4'})")
    if len(sizes) > 1:
        parser.add_argument("--size", choices=sizes, default=sizes[0],
                            help="the model's, on which the published weights depend (default: %(default)s)")
    parser.add_argument("--labels", help="file with the true labels (default: the data set's under data/)")
    for name in (*STREAMS, *more):
        parser.add_argument(f"--{name}-dir", required=name == "joint",
                            help=f"work directory of the {name} stream's test (or its score file)")
    parser.set_defaults(streams=(*STREAMS, *more))
    return parser.parse_args()
