"""Look at a clip: people in three dimensions, as an animated GIF or a strip of frames (PNG).

    python3 dataset_tools/view_skeleton.py S001C001P001R001A001.skeleton
    python3 dataset_tools/view_skeleton.py NTU60_CS.npz --split test --index 7 --output clip.png

Takes raw recordings, archives, MS-G3D's .npy, and the files of NW-UCLA, Kinetics, UTD-MHAD and MSR-Action3D. The left
side of a body is blue, its right side red; a second body is drawn with dashes. One sees it as the camera did. Bone and
motion files show nothing sensible.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("path", type=input_path, help="a recording or an archive, of any format that is "
                        "read here: its content tells which")
    parser.add_argument("--index", type=int, default=0, help="which clip of an archive, from 0 (default: %(default)s)")
    parser.add_argument("--split", help="which part of an .npz: train or test (default: train, or the only one)")
    parser.add_argument("--skeleton", metavar="PATH", help="dotted path of the skeleton, where the file does not "
                        "tell it: skeleton_lab.own_skeletons.UTD_MHAD_20")
    parser.add_argument("--output", type=Path, default=Path("clip.gif"),
                        help=".gif (all frames) or .png (a strip) (default: %(default)s)")
    parser.add_argument("--max-frames", type=int, default=60, help="of a GIF; more are thinned (default: %(default)s)")
    parser.add_argument("--panels", type=int, default=6, help="frames in a strip (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from PIL import Image

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.files import replacing
from skeleton_lab.imports import load_object
from skeleton_lab.skeleton_clip import ELEVATION_DEG, TURN_DEG, SkeletonClip, side, spread
from skeleton_lab.skeletons import Skeleton

DPI = 80
COLOURS = {"left": "tab:blue", "right": "tab:red", "middle": "0.35"}
LINES = ("-", "--", ":", "-.")
ZOOM = 1.15


def main(options: argparse.Namespace) -> None:
    if options.output.suffix not in (".gif", ".png"):
        raise UserError(f"{options.output}: give the picture a name that ends in .gif or .png")
    if options.max_frames < 1 or options.panels < 1:
        raise UserError("--max-frames and --panels: must be at least 1")
    clip = load_clip(options.path, options.index, options.split, read_skeleton(options.skeleton))
    with replacing(options.output) as temporary:
        if options.output.suffix == ".gif":
            save_gif(clip, options.max_frames, temporary)
        else:
            save_strip(clip, options.panels, temporary)
    print(f"{options.output}: {clip.title}, {len(clip.frames)} frames, {clip.skeleton.name}")


def load_clip(path: Path, index: int, split: str | None, skeleton: Skeleton | None) -> SkeletonClip:
    """Return a recording of a file as something to draw."""
    wanted = Wanted(split, (index,), skeleton, first_split="train")
    recording = open_recordings(path, wanted)[0].with_skeleton(skeleton)
    name = Path(recording.name).name
    return recording.picture(name if recording.class_name is None else f"{name}, {recording.class_name}")


def read_skeleton(dotted: str | None) -> Skeleton | None:
    """Return the skeleton at a dotted path, if one is given."""
    skeleton = load_object(dotted) if dotted else None
    if skeleton is not None and not isinstance(skeleton, Skeleton):
        raise UserError(f"--skeleton {dotted}: is no Skeleton; see skeleton_lab/skeletons.py")
    return skeleton


def save_gif(clip: SkeletonClip, max_frames: int, path: Path, captions: Sequence[str] | None = None) -> None:
    """Draw evenly spread frames, at the speed they were recorded; `captions`: a line for each frame of the clip."""
    numbers = spread(len(clip.frames), max_frames)
    figure = pyplot.figure(figsize=(4, 4), dpi=DPI)
    titles = [titled(figure, clip.title, *(captions[number:number + 1] if captions else ())) for number in numbers]
    lines = max(title.count("\n") + 1 for title in titles)
    axes = figure.add_axes((0, 0, 1, 0.96 - 0.06 * lines), projection="3d")
    images = []
    for number, title in zip(numbers, titles, strict=True):
        axes.clear()
        draw_frame(axes, clip, number)
        figure.suptitle(title, fontsize=9)
        figure.canvas.draw()
        picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba()))
        images.append(picture.convert("P", palette=Image.Palette.ADAPTIVE))
    pyplot.close(figure)
    duration_ms = 1000 * len(clip.frames) / len(numbers) / clip.fps
    images[0].save(path, format="GIF", save_all=True, append_images=images[1:], loop=0, duration=round(duration_ms))


def save_strip(clip: SkeletonClip, panels: int, path: Path) -> None:
    """Draw evenly spread frames side by side."""
    numbers = spread(len(clip.frames), panels)
    share = 1 / len(numbers)
    figure = pyplot.figure(figsize=(2.4 * len(numbers), 3.2), dpi=DPI)
    figure.suptitle(titled(figure, clip.title), fontsize=9)
    for place, number in enumerate(numbers):
        draw_frame(figure.add_axes((place * share, 0, share, 0.85), projection="3d"), clip, number)
    figure.savefig(path, format="png")
    pyplot.close(figure)


def titled(figure: Figure, *paragraphs: str) -> str:
    """Return paragraphs of a title in lines that a figure has room for."""
    return "\n".join(textwrap.fill(text, int(12 * figure.get_figwidth())) for text in paragraphs)  # 12 letters an inch


def draw_frame(axes: Axes3D, clip: SkeletonClip, number: int) -> None:
    """Draw one frame: every body that is there, and the frame's number."""
    points = clip.in_space()
    present = clip.present
    for body in np.flatnonzero(present[number]):
        joints = points[number, body]
        style = LINES[body % len(LINES)]
        for joint, parent in clip.skeleton.bones:
            axes.plot(*joints[[joint, parent]].T, style, color=COLOURS[side(clip.skeleton, joint)], linewidth=2)
        axes.scatter(*joints.T, s=6, color="0.2", depthshade=False)
    frame_box(axes, points[present])
    axes.set_title(f"frame {number + 1} of {len(clip.frames)}", fontsize=8)


def frame_box(axes: Axes3D, points: np.ndarray) -> None:
    """Keep the view still and true to scale: a box around all `points` (..., V, 3) of the clip."""
    low, high = np.quantile(points.reshape(-1, 3), (0.005, 0.995), axis=0)
    middle, reach = (low + high) / 2, np.maximum((high - low) / 2, 0.05) * 1.1
    for set_limits, centre, half in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), middle, reach, strict=True):
        set_limits(centre - half, centre + half)
    axes.set_box_aspect(reach, zoom=ZOOM)
    axes.view_init(elev=ELEVATION_DEG, azim=-90 + TURN_DEG)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_ticklabels([])


if __name__ == "__main__":
    run_command(main, OPTIONS)
