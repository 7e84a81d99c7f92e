"""Bones from joints: for each <part>_data_joint.npy of a data set, <part>_data_bone.npy of the same shape beside it.

    cd MS-G3D/data_gen && python3 gen_bone_data.py --dataset ntu
    python3 gen_bone_data.py --dataset own --data-folder ../data/mine --skeleton skeleton_lab.own_skeletons.UTD_MHAD_20

A bone is a joint minus its neighbour towards the root, in all three channels; of one's own skeletons that say flat=True
it keeps the mean of the two scores. Takes constant memory.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(next(folder for folder in HERE.parents if (folder / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--dataset", required=True, choices=("ntu", "ntu120", "kinetics", "own"))
    parser.add_argument("--benchmark", nargs="+", choices=("xview", "xsub", "xset"),
                        help="only these (default: all that the data set has)")
    parser.add_argument("--input", "--data-folder", "--data_folder", dest="data_folder", type=input_path,
                        default=HERE.parent / "data", metavar="DIR",
                        help="folder that holds ntu/, ntu120/ or kinetics/ (default: ../data); of `own`, the folder "
                             "of the joint files itself")
    parser.add_argument("--skeleton", metavar="PATH",
                        help="dotted path of the skeleton of `own`, such as skeleton_lab.own_skeletons.UTD_MHAD_20")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.data.prepare.bones import write_bone
from skeleton_lab.imports import load_object
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18, Skeleton

DATASETS = {"ntu": (NTU_25, ("xview", "xsub")), "ntu120": (NTU_25, ("xset", "xsub")), "kinetics": (OPENPOSE_18, ()),
            "own": (None, ())}


def main(options: argparse.Namespace) -> None:
    skeleton, benchmarks = DATASETS[options.dataset]
    if (options.dataset == "own") != (options.skeleton is not None):
        raise UserError("--skeleton: is needed with --dataset own, and of no use with the others")
    unknown = set(options.benchmark or ()) - set(benchmarks)
    if unknown:
        raise UserError(f"--benchmark {' '.join(sorted(unknown))}: {options.dataset} has "
                        f"{' and '.join(benchmarks) or 'no benchmarks; leave the option out'}")
    folder = options.data_folder / options.dataset
    if skeleton is None:
        skeleton, folder = load_object(options.skeleton), options.data_folder
        if not isinstance(skeleton, Skeleton):
            raise UserError(f"--skeleton {options.skeleton}: is no Skeleton; see skeleton_lab/skeletons.py")
    missing = []
    for place in [folder / name for name in options.benchmark or benchmarks] or [folder]:
        for part in ("train", "val"):
            joints = place / f"{part}_data_joint.npy"
            if joints.exists():
                write_bone(joints, place / f"{part}_data_bone.npy", skeleton)
            else:
                missing.append(str(joints))
    if missing:
        raise UserError(f"{', '.join(missing)}: not there, so no bones; make it first, or choose with --benchmark")


if __name__ == "__main__":
    run_command(main, OPTIONS)
