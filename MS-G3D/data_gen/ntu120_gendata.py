"""NTU RGB+D 120: from the raw recordings to MS-G3D's joint files, for cross-subject and cross-setup.

    cd MS-G3D/data_gen && python3 ntu120_gendata.py

Writes <out_folder>/{xsub,xset}/{train,val}_data_joint.npy and _label.pkl, about 21 GB for each of the two. Memory
stays constant; run it again after an interruption and it carries on. Bones are made by gen_bone_data.py.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(next(folder for folder in HERE.parents if (folder / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.data.prepare.options import add_run_options
from skeleton_lab.errors import UserError, run_command

DATA = HERE.parent / "data"


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", type=input_path, nargs=2, metavar="DIR", help="both folders of .skeleton files, in "
                        "place of --part1-path and --part2-path")
    for part, folder in ((1, "nturgb+d_skeletons"), (2, "nturgb+d_skeletons120")):
        parser.add_argument(f"--part{part}-path", f"--part{part}_path", type=input_path, metavar="DIR",
                            help=f"folder of .skeleton files, part {part} (default: {folder} in ../data/nturgbd_raw or "
                                 "in ../../data/nturgbd_raw)")
    parser.add_argument("--ignored-sample-path", "--ignored_sample_path", type=input_path, metavar="FILE",
                        help="official list of samples with missing skeletons, left out (default: looked for beside "
                             "the folders of recordings)")
    parser.add_argument("--output", "--out-folder", "--out_folder", dest="out_folder", type=Path,
                        default=DATA / "ntu120", metavar="DIR", help="where results go (default: ../data/ntu120)")
    add_run_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.data.formats.ntu import NTU120
from skeleton_lab.data.prepare.msg3d_commands import crew_for, generate_ntu
from skeleton_lab.data.prepare.preparation import find_missing_list, find_skeletons


def main(options: argparse.Namespace) -> None:
    parts = [options.part1_path, options.part2_path]
    if options.input and any(parts):
        raise UserError("--input: names both folders, and --part1-path or --part2-path does too; leave these out")
    given = options.input or parts
    if any(given) and not all(given):
        raise UserError("--part1-path and --part2-path: only one of them is given; NTU120 needs both folders")
    sources = find_skeletons(given if all(given) else None, NTU120, [DATA / "nturgbd_raw"], "--part1-path/--part2-path")
    missing_list = find_missing_list(options.ignored_sample_path, NTU120, sources)
    with crew_for(options.out_folder, options.jobs) as crew:
        print(generate_ntu(NTU120, sources, missing_list, options.out_folder, crew, options.strict).text(crew.jobs))


if __name__ == "__main__":
    run_command(main, OPTIONS)
