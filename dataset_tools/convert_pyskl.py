#!/usr/bin/env python3
"""Convert an annotation file of PYSKL or MMAction2, 2D or 3D, to an archive that training maps.

    python3 dataset_tools/convert_pyskl.py --input ntu60_hrnet.pkl --output ntu60_hrnet.npz
    python3 dataset_tools/convert_pyskl.py --input Datasets/nturgbd_skeletons --output ntu60_3danno.npz

Keeps splits, names, scores and sizes of pictures, and the precision of the file. Nothing in the pickle is run. Takes
about as much memory as the pickle is large, which it says first. Of a folder of NTU's .skeleton recordings it makes
what PYSKL's annotations have of them or, with --like mmaction2, the other project's, whose persons and frames differ.
The result is for feeders.feeder_pyskl.Feeder, and inspect_npz.py, view_skeleton.py and predict.py read it too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", type=input_path, required=True, metavar="PKL", help="annotation file, or a "
                        "folder of .skeleton recordings")
    parser.add_output("NPZ", "archive to write")
    parser.add_argument("--skeletons", type=Path, metavar="DIR", help="of Kinetics-400's compressed form: the folder "
                        "with <clip>.pkl of each (default: that of --input)")
    parser.add_argument("--least-box", type=float, default=0.0, metavar="SCORE", help="of that form: leave out "
                        "skeletons whose box scores less (default: none)")
    parser.add_argument("--least-valid", type=float, default=0.0, metavar="SHARE", help="of that form: leave out clips "
                        "of which --least-box leaves less than this share of the frames (default: none)")
    parser.add_argument("--like", choices=("pyskl", "mmaction2"), default="pyskl", help="of recordings: whose rules "
                        "choose persons and frames (default: %(default)s)")
    parser.add_argument("--missing-list", type=input_path, metavar="FILE", help="of recordings: the official list of "
                        "those to leave out")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.data.formats.pose_clips import write_pose_clips
from skeleton_lab.data.formats.pyskl_annotations import Annotations
from skeleton_lab.data.prepare.pose_bodies import RawClips
from skeleton_lab.files import claim_new, size_text


def main(options: argparse.Namespace) -> None:
    claim_new(options.output, options.overwrite, source=options.input)
    if options.input.is_file():
        print(f"{options.input}: {size_text(options.input.stat().st_size)}; reading it takes about as much memory")
    annotations = read(options)
    table = write_pose_clips(options.output, annotations, annotations.names, annotations.splits)
    joints, coordinates, scored = annotations[0].kind
    print(f"{len(table)} clips of {table[:, 2].mean():.1f} frames on average, up to {table[:, 1].max()} person(s), "
          f"{joints} joints of {coordinates} coordinates{' and a score' if scored else ''}")
    for name, places in annotations.splits.items():
        print(f"split {name}: {len(places)} clips")
    print(f"wrote {options.output} ({size_text(options.output.stat().st_size)})")


def read(options: argparse.Namespace) -> Annotations | RawClips:
    if not options.input.is_dir():
        return Annotations(options.input, options.skeletons, options.least_box, options.least_valid)
    clips = RawClips(options.input, options.like, options.missing_list)
    if clips.empty:
        print(f"{len(clips.empty)} recordings with nobody in them are left out: {', '.join(clips.empty[:5])}"
              f"{' ...' if len(clips.empty) > 5 else ''}")
    return clips


if __name__ == "__main__":
    run_command(main, OPTIONS)
