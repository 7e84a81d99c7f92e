"""NTU RGB+D 60: from the raw recordings to MS-G3D's joint files, for cross-subject and cross-view.

    cd MS-G3D/data_gen && python3 ntu_gendata.py

Writes <out_folder>/{xsub,xview}/{train,val}_data_joint.npy and _label.pkl, about 10 GB for each of the two. Memory
stays constant; run it again after an interruption and it carries on. Bones are made by gen_bone_data.py.
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
    parser.add_argument("--input", "--data_path", "--data-path", dest="data_path", type=input_path, metavar="DIR",
                        help="folder of .skeleton files (default: nturgb+d_skeletons in ../data/nturgbd_raw or in "
                             "../../data/nturgbd_raw)")
    parser.add_argument("--ignored_sample_path", "--ignored-sample-path", type=input_path, metavar="FILE",
                        help="official list of samples with missing skeletons, left out (default: looked for beside "
                             "the folder of recordings)")
    parser.add_argument("--output", "--out_folder", "--out-folder", dest="out_folder", type=Path,
                        default=DATA / "ntu", metavar="DIR", help="where results go (default: ../data/ntu)")
    add_run_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.data.formats.ntu import NTU60
from skeleton_lab.data.prepare.msg3d_commands import crew_for, generate_ntu
from skeleton_lab.data.prepare.preparation import find_missing_list, find_skeletons


def main(options: argparse.Namespace) -> None:
    given = [options.data_path] if options.data_path else None
    sources = find_skeletons(given, NTU60, [DATA / "nturgbd_raw"], "--data_path")
    missing_list = find_missing_list(options.ignored_sample_path, NTU60, sources)
    with crew_for(options.out_folder, options.jobs) as crew:
        print(generate_ntu(NTU60, sources, missing_list, options.out_folder, crew, options.strict).text(crew.jobs))


if __name__ == "__main__":
    run_command(main, OPTIONS)
