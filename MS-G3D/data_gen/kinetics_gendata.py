"""Kinetics-Skeleton: from its JSON recordings to MS-G3D's joint files.

    cd MS-G3D/data_gen && python3 kinetics_gendata.py

Reads kinetics_{val,train}/ and kinetics_{val,train}_label.json under --data_path; writes {val,train}_data_joint.npy and
_label.pkl, about 34 GB in all. Memory stays constant; run it again after an interruption and it carries on.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(next(folder for folder in HERE.parents if (folder / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.data.prepare.options import add_run_options
from skeleton_lab.errors import run_command

DATA = HERE.parent / "data"


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", "--data_path", "--data-path", dest="data_path", type=input_path,
                        default=DATA / "kinetics_raw", metavar="DIR",
                        help="folder of the recordings and label files (default: ../data/kinetics_raw)")
    parser.add_argument("--output", "--out_folder", "--out-folder", dest="out_folder", type=Path,
                        default=DATA / "kinetics", metavar="DIR", help="where results go (default: ../data/kinetics)")
    parser.add_argument("--parts", nargs="+", choices=("val", "train"), default=("val", "train"),
                        help="what to make (default: both)")
    add_run_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.data.prepare.msg3d_commands import crew_for, generate_kinetics


def main(options: argparse.Namespace) -> None:
    with crew_for(options.out_folder, options.jobs) as crew:
        for part, summary in generate_kinetics(options.data_path, options.parts, options.out_folder, crew,
                                               options.strict):
            print(f"{part}:\n{summary.text(crew.jobs)}")


if __name__ == "__main__":
    run_command(main, OPTIONS)
