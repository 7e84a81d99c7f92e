"""From NTU RGB+D's official download to the archives that CTR-GCN trains on, all in one go.

    python3 dataset_tools/make_ctrgcn_archives.py ntu60 --skeletons Datasets/nturgb+d_skeletons
    python3 dataset_tools/make_ctrgcn_archives.py ntu120 --skeletons Datasets/nturgb+d_skeletons{,120} --output ntu120

Runs the three steps of CTR-GCN/data/ntu (or ntu120) in turn. Memory stays constant, an interrupted run carries on, and
a run with nothing to do does nothing. Beside the archives (NTU60: two of 10 GB, NTU120: two of 21 GB) stay raw_data/
and denoised_data/, which may be deleted once the archives are there. MS-G3D's files are made by MS-G3D/data_gen/.
"""

import argparse
import sys
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, read_early
from skeleton_lab.data.prepare.options import add_run_options, add_source_options
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("benchmark", choices=("ntu60", "ntu120"))
    add_source_options(parser)
    parser.add_argument("--output", "--out-folder", "--out_folder", type=Path, metavar="DIR", dest="out_folder",
                        help="where results go (default, in the checkout: CTR-GCN/data/ntu or CTR-GCN/data/ntu120)")
    add_run_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.data.prepare.ctrgcn_commands import BENCHMARKS, STEPS, run

FOLDERS = {"ntu60": "ntu", "ntu120": "ntu120"}


def main(options: argparse.Namespace) -> None:
    home = ROOT / "CTR-GCN" / "data" / FOLDERS[options.benchmark]
    if options.out_folder is None:
        if not Path.cwd().is_relative_to(ROOT):  # nothing is written far from where the command was typed
            raise UserError(f"no --output: give the folder to write to (the models look in {home})")
        options.out_folder = home
    run(options, BENCHMARKS[options.benchmark], home, tuple(STEPS.values()))


if __name__ == "__main__":
    run_command(main, OPTIONS)
