#!/usr/bin/env python3
"""Turn pose files of one's own, a folder for each class, into an archive that the models train on.

    python3 dataset_tools/convert_poses.py --input gestures --output gestures.npz --config-for CTR-GCN
    python3 dataset_tools/convert_poses.py --input gestures --output gestures.npz --to coco17 --test-list test.txt

gestures/wave/, gestures/bow/, ... hold files of any format that is read here (docs/formats.md), or folders with a file
for each frame. Joints become NTU RGB+D's 25, in metres with y up, or COCO's 17, in pixels; hands stay hands. Of many
people the two are taken who are seen longest and most surely, and move. Prints which joints were made of which. Not
for: data sets that have a converter of their own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, input_path, picture_size, read_early
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", type=input_path, required=True, metavar="DIR", help="folder of folders, one class "
                        "each; classes are called as these are")
    parser.add_output("NPZ", "archive to write")
    parser.add_argument("--joints", metavar="NAME", help="the files' joints, where they do not tell: coco17, "
                        "body25, ...")
    parser.add_argument("--to", choices=("ntu25", "coco17"), help="the archive's joints (default: ntu25 for joints in "
                        "space, coco17 for those in pictures)")
    parser.add_argument("--fps", type=rate, metavar="RATE", help="frames a second, where files do not tell (default: "
                        "30)")
    parser.add_argument("--image-size", type=picture_size, metavar="WIDTHxHEIGHT", help="of the pictures that joints "
                        "were found in, where files do not tell")
    split = parser.add_mutually_exclusive_group()
    split.add_argument("--test-share", type=share, default=0.2, metavar="SHARE", help="of each class, for testing "
                       "(default: %(default)s)")
    split.add_argument("--test-list", type=input_path, metavar="FILE", help="names of the clips for testing instead, "
                       "one a line, such as wave/clip3")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the draw (default: %(default)s)")
    parser.add_argument("--config-for", metavar="TREE", help="write a config beside the archive that trains this tree, "
                        "such as CTR-GCN")
    parser.add_argument("--msg3d", type=Path, metavar="DIR", help="folder to write MS-G3D's files to as well, of "
                        "joints in space")
    parser.add_argument("--skip-damaged", action="store_true", help="leave out files that are damaged or show nobody, "
                        "and say which, instead of stopping")
    return parser.parse_args()


def rate(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"expected a number above 0, not '{word}'")
    return value


def share(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, not '{word}'")
    return value


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np

from skeleton_lab.children import run_child
from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.joint_sets import TARGETS, joint_set
from skeleton_lab.data.formats.occupied import about_outliers
from skeleton_lab.data.formats.recording import Unit
from skeleton_lab.data.prepare import own_config
from skeleton_lab.data.prepare.class_folders import Clips, read_clips, split_by_list, split_by_share
from skeleton_lab.data.prepare.own_archive import is_in_space, write_archive
from skeleton_lab.files import claim_new, size_text

USUAL_FPS = 30.0


def main(options: argparse.Namespace) -> None:
    check(options)
    in_space = options.to == "ntu25"
    wanted = Wanted(skeleton=options.joints and joint_set(options.joints), long=True, image_size=options.image_size,
                    hands=in_space, in_space=in_space)
    clips = read_clips(options.input, wanted, TARGETS.get(options.to or ""), options.skip_damaged)
    labels, names = [clip.label for clip in clips.clips], [clip.name for clip in clips.clips]
    tests = split_by_list(names, options.test_list) if options.test_list else \
        split_by_share(labels, options.test_share, options.seed)
    recipe = options.config_for and own_config.recipe_of(ROOT, options.config_for, is_in_space(clips))
    files = options.msg3d or (recipe and own_config.needs_files(recipe[1]) and
                              options.output.with_name(f"{options.output.stem}_msg3d"))
    if files and not is_in_space(clips):
        raise UserError("--msg3d: its files hold joints in space; add --to ntu25, or leave it out")
    write_archive(options.output, clips, tests, rate_of(clips, options.fps))
    report(options, clips, tests)
    if files:
        write_msg3d(options.output, files)
    if recipe:
        write_config(options, recipe, clips, tests, files)


def check(options: argparse.Namespace) -> None:
    """Refuse what can be refused before the work."""
    if options.output.suffix != ".npz":
        raise UserError(f"{options.output}: give the archive a name that ends in .npz")
    if options.config_for and options.config_for not in own_config.trees(ROOT):
        raise UserError(f"--config-for {options.config_for}: is no tree here; choose "
                        f"{', '.join(own_config.trees(ROOT))}")
    claim_new(options.output, options.overwrite)


def rate_of(clips: Clips, given: float | None) -> float:
    """Return the rate that is written down: the files' own, in the middle where they differ; say what is assumed."""
    rates = [clip.recording.fps for clip in clips.clips if clip.recording.fps is not None]
    if not rates:
        if given is None:
            print(f"{USUAL_FPS:g} frames a second are assumed, since no file tells; --fps says otherwise")
        return given or USUAL_FPS
    if max(rates) > 1.05 * min(rates):
        print(f"files have from {min(rates):g} to {max(rates):g} frames a second; clips are as the files are")
    return float(np.median(rates))


def report(options: argparse.Namespace, clips: Clips, tests: np.ndarray) -> None:
    labels = np.array([clip.label for clip in clips.clips])
    lengths = [len(clip.recording.frames) for clip in clips.clips]
    for label, name in enumerate(clips.class_names):
        found = tests[labels == label]
        print(f"class {label} {name}: {(~found).sum()} clips to train with, {found.sum()} to test with")
    print(f"{len(labels)} clips of {min(lengths)} to {max(lengths)} frames; joints of {clips.source} as "
          f"{clips.target.name}")
    for line in filter(None, [about_outliers([clip.name for clip in clips.clips], lengths)]):
        print(f"note: {line}")
    for line in clips.skipped:
        print(f"skipped: {line}")
    print(f"wrote {options.output} ({size_text(options.output.stat().st_size)})")


def write_msg3d(archive: Path, folder: Path) -> None:
    """Write MS-G3D's files of an archive, by the command that does so for any."""
    ended = run_child([sys.executable, ROOT / "convert_ctr_npz_to_msg3d.py", "--input", archive, "--output", folder,
                       "--overwrite"])
    if ended.returncode:
        raise UserError(f"{folder}: MS-G3D's files were not written, see above; the archive is")


def write_config(options: argparse.Namespace, recipe: tuple, clips: Clips, tests: np.ndarray, files: Path) -> None:
    shares = any(clip.recording.unit is Unit.SHARES for clip in clips.clips)
    data = own_config.Data(options.output.resolve(), clips.target.num_joints, len(clips.class_names),
                           int((~tests).sum()), is_in_space(clips), shares)
    path = options.output.with_name(f"{options.output.stem}_{options.config_for.lower()}.yaml").resolve()
    own_config.write_config(path, recipe, data, Path(files or options.output).resolve())
    print(f"wrote {path}")
    print("\n".join(own_config.lines_of(options.config_for, path, f"work_dir/{options.output.stem}")))


if __name__ == "__main__":
    run_command(main, OPTIONS)
