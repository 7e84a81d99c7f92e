"""Look at a clip: people in three dimensions, as an animated GIF, a film (MP4) or a strip of frames (PNG).

    python3 dataset_tools/view_skeleton.py S001C001P001R001A001.skeleton
    python3 dataset_tools/view_skeleton.py NTU60_CS.npz --split test --index 7 --output clip.png

Takes raw recordings, archives, MS-G3D's .npy, and the files of NW-UCLA, Kinetics, UTD-MHAD and MSR-Action3D. The left
side of a body is blue, its right side red; a second body is drawn with dashes. One sees it as the camera did, standing
on a floor of squares. Bone and motion files show nothing sensible.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, read_early
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_input("path", "a recording or an archive, of any format that is read here: its content tells which")
    parser.add_argument("--index", type=int, default=0, help="which clip of an archive, from 0 (default: %(default)s)")
    parser.add_argument("--split", help="which part of an .npz: train or test (default: train, or the only one)")
    parser.add_argument("--skeleton", "--joints", metavar="NAME", help="the joints, where the file does not tell "
                        "them: coco17, body25, ... or a dotted path, skeleton_lab.own_skeletons.UTD_MHAD_20")
    parser.add_argument("--output", type=Path, default=Path("clip.gif"),
                        help=".gif or .mp4 (moving), or .png (a strip) (default: %(default)s)")
    parser.add_argument("--max-frames", type=int, metavar="T", help="of a moving picture; more are thinned (default: "
                        "60 of a GIF, all of an MP4)")
    parser.add_argument("--panels", type=int, default=6, help="frames in a strip (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.joint_sets import joint_set
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.files import replacing
from skeleton_lab.pictures.film import GIF_FRAMES, MOVING, save_film, save_strip
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import Skeleton


def main(options: argparse.Namespace) -> None:
    suffix = options.output.suffix
    if suffix not in (*MOVING, ".png"):
        raise UserError(f"{options.output}: give the picture a name that ends in .gif, .mp4 or .png")
    if options.panels < 1 or (options.max_frames is not None and options.max_frames < 1):
        raise UserError("--max-frames and --panels: must be at least 1")
    clip = load_clip(options.path, options.index, options.split, options.skeleton and joint_set(options.skeleton))
    with replacing(options.output) as temporary:
        if suffix in MOVING:
            save_film(clip, options.max_frames or (GIF_FRAMES if suffix == ".gif" else None), temporary)
        else:
            save_strip(clip, options.panels, temporary)
    print(f"{options.output}: {clip.title}, {len(clip.frames)} frames, {clip.skeleton.name}")


def load_clip(path: Path, index: int, split: str | None, skeleton: Skeleton | None) -> SkeletonClip:
    """Return a recording of a file as something to draw."""
    wanted = Wanted(split, (index,), skeleton, first_split="train")
    recording = open_recordings(path, wanted)[0].with_skeleton(skeleton)
    name = Path(recording.name).name
    return recording.picture(name if recording.class_name is None else f"{name}, {recording.class_name}")


if __name__ == "__main__":
    run_command(main, OPTIONS)
