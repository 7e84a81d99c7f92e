#!/usr/bin/env python3
"""Say what people do in recordings, videos and before a camera, by a trained model.

    python3 predict.py --run work_dir/ctrgcn_ntu60_xsub_joint S001C001P001R001A023.skeleton --gif clip.gif
    python3 predict.py --run work_dir/ctrgcn_ntu60_xsub_joint NTU60_CS.npz --split test --index 0-49
    python3 predict.py --run work_dir/ctrgcn_ntu60_xsub_joint stream.skeleton --window-frames 90 --stride-frames 30
    python3 predict.py --config CTR-GCN/config/nturgbd-cross-subject/default.yaml --weights runs-64-40064.pt *.skeleton
    python3 predict.py --run work_dir/gestures clip.mp4 --mp4 labelled.mp4
    python3 predict.py --run work_dir/gestures --camera 0

A recording goes through the same preparation and the same feeder as the run's test data. Not for measuring accuracy on
a whole data set: `main.py --phase test` does that faster, and writes scores for the ensemble.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, picture_size, read_early
from skeleton_lab.errors import UserError, note, run_command
from skeleton_lab.predict import live_options
from skeleton_lab.train.which import add_options, add_runtime_option


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_input("paths", "recordings and archives, of any format that is read here, and videos; a folder: all "
                     "recordings in it", many=True, required=False)
    add_options(parser)
    parser.add_argument("--split", help="which part of an .npz: train or test (default: test, or the only one)")
    parser.add_argument("--index", type=indices, metavar="N,N-N",
                        help="which clips of an .npz or .npy, from 0, such as 3 or 0-49,60 (default: all)")
    parser.add_argument("--top-k", type=positive, default=3, metavar="K", help="labels to show (default: %(default)s)")
    parser.add_argument("--class-names", metavar="NAMES", help="ntu60, ntu120, nw-ucla, utd-mhad, msr-action3d, "
                        "hand-gestures, synthetic, or a text file with one name a line (default: as the run recorded)")
    parser.add_argument("--json", action="store_true", help="print JSON, logits included, instead of text")
    parser.add_argument("--gif", type=Path, metavar="FILE", help="draw the one recording given, with its label")
    parser.add_argument("--mp4", type=Path, metavar="FILE", help="the same as a film, every frame of it")
    parser.add_argument("--window-frames", type=positive, metavar="W", help="predict windows of a long recording, each "
                        "as if it were a recording of its own")
    parser.add_argument("--stride-frames", type=positive, metavar="S",
                        help="frames from one window to the next (default: half a window)")
    parser.add_argument("--fps", type=rate, help="frames a second of the recordings (default: as the file says, or 30)")
    parser.add_argument("--device", default="auto", help="auto, cpu or a GPU's index (default: %(default)s)")
    add_runtime_option(parser)
    parser.add_argument("--batch-size", type=positive, default=16, metavar="N",
                        help="clips of a forward pass (default: %(default)s)")
    parser.add_argument("--skeleton", "--joints", metavar="NAME", help="the recordings' joints, where the file does "
                        "not tell them: coco17, body25, ... or a dotted path, skeleton_lab.own_skeletons.UTD_MHAD_20 "
                        "(default: the run's own)")
    parser.add_argument("--image-size", type=picture_size, metavar="WIDTHxHEIGHT", help="of the pictures that joints "
                        "were found in, such as 1920x1080, where the file does not tell it")
    made = parser.add_argument_group("how the training data were made, where that cannot be seen from the run")
    made.add_argument("--twin", action=argparse.BooleanOptionalAction, help="a single person stands for the second "
                      "body too, as in NTU-120's archives (default: with 120 classes)")
    made.add_argument("--from-archive", action=argparse.BooleanOptionalAction, help="MS-G3D's files were converted "
                      "from an archive, not made of raw recordings (default: as their label file tells)")
    made.add_argument("--frames", type=natural, metavar="T", help="the --frames of that conversion; 0: none")
    live_options.add_options(parser)
    options = parser.parse_args()
    live_options.check(parser, options)
    if options.stride_frames and not options.window_frames and options.camera is None:
        parser.error("argument --stride-frames: needs --window-frames")
    if options.window_frames and options.camera is None:
        options.stride_frames = options.stride_frames or max(1, options.window_frames // 2)
    for kind in ("gif", "mp4"):
        path = getattr(options, kind)
        if path and path.suffix != f".{kind}":
            raise UserError(f"{path}: give the picture a name that ends in .{kind}")
    return options


def natural(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, not '{word}'")
    return int(word)


def positive(word: str) -> int:
    if natural(word) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, not '{word}'")
    return int(word)


def rate(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, not '{word}'")
    return value


def indices(word: str) -> tuple[int, ...]:
    """Read "3", "0-49" or "0-9,20"."""
    chosen: list[int] = []
    for part in word.split(","):
        first, dash, last = part.partition("-")
        chosen += range(natural(first), natural(last if dash else first) + 1)
    return tuple(chosen)


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.class_names import BY_DATA_SET, NTU_60, NTU_120, NW_UCLA, filled, read_class_names
from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.joint_sets import joint_set
from skeleton_lab.data.formats.registry import files_of
from skeleton_lab.data.generate.synthetic_actions import CLASS_NAMES as SYNTHETIC
from skeleton_lab.export.runtime import network_for
from skeleton_lab.predict import results
from skeleton_lab.predict.drawing import draw
from skeleton_lab.predict.predictor import Prediction, Predictor, cut
from skeleton_lab.predict.recordings import Take, fitted_take, open_takes
from skeleton_lab.predict.staging import StageOptions, stage_for
from skeleton_lab.predict.videos import Extraction, Filmed, is_video, open_filmed
from skeleton_lab.predict.watching import watch
from skeleton_lab.train.trained import Trained, open_chosen, pick_device

CLASS_NAMES = {**BY_DATA_SET, "synthetic": SYNTHETIC}


def main(options: argparse.Namespace) -> None:
    trained = open_chosen(options)
    stage = stage_for(trained, StageOptions(options.twin, options.frames, options.from_archive))
    wanted = Wanted(options.split, options.index, options.skeleton and joint_set(options.skeleton), trained.skeleton,
                    long=bool(options.window_frames), fps=options.fps, image_size=options.image_size,
                    of_kinect=trained.class_names in (NTU_60, NTU_120, NW_UCLA))
    device = pick_device(options.device)
    predictor = Predictor(trained, stage, device, options.batch_size,
                          network_for(trained, options.runtime, device, note))
    if options.camera is not None:
        watch(options, predictor, wording_of(options, trained, trained.num_classes), wanted)
        return
    takes, filmed = opened(options, wanted)
    groups = predicted(predictor, takes, options)
    every = [prediction for group in groups for prediction in group]
    num_classes = next((len(found.logits) for found in every if found.logits is not None), trained.num_classes)
    wording = wording_of(options, trained, num_classes)
    for path in pictures(options):
        count = draw(path, takes[0], groups[0], wording, filmed[0])
        print(f"{path}: {count} frames", file=sys.stderr)
    if options.json:
        print(json.dumps(results.as_json(every, wording), indent=1))
    elif options.window_frames:
        for take, group in zip(takes, groups, strict=True):
            print("\n".join([take.name, *results.span_table(group, wording)]))
    else:
        print("\n".join(results.lines(every, wording)))


def pictures(options: argparse.Namespace) -> list[Path]:
    return [path for path in (options.gif, options.mp4) if path]


def opened(options: argparse.Namespace, wanted: Wanted) -> tuple[list[Take], list[Filmed | None]]:
    """Open what is to be predicted, and beside each recording the video that it comes from, if it does."""
    extraction = Extraction(options.pose_python, options.estimator, options.model, options.people)
    takes: list[Take] = []
    filmed: list[Filmed | None] = []
    for file in [file for path in options.paths for file in files_of(path)]:
        if is_video(file):
            film = open_filmed(file, wanted, extraction)
            filmed.append(film)
            takes.append(fitted_take(film.recording, wanted))
        else:
            takes += open_takes(file, wanted)
            filmed += [None] * (len(takes) - len(filmed))
    if pictures(options) and len(takes) != 1:
        raise UserError(f"--{pictures(options)[0].suffix[1:]}: draws one recording, and {len(takes)} are given; give "
                        "one, or choose with --index")
    return takes, filmed


def predicted(predictor: Predictor, takes: list[Take], options: argparse.Namespace) -> list[list[Prediction]]:
    """Return the predictions of each recording: one, or one for each window."""
    if options.window_frames:
        return [predictor.predict(cut(take, options.window_frames, options.stride_frames), empty_ok=True)
                for take in takes]
    return [[prediction] for prediction in predictor.predict(takes)]


def wording_of(options: argparse.Namespace, trained: Trained, num_classes: int) -> results.Wording:
    names = read_class_names(options.class_names, num_classes, CLASS_NAMES) if options.class_names \
        else filled(trained.class_names, num_classes)
    return results.Wording(names, min(options.top_k, num_classes), options.fps)


if __name__ == "__main__":
    run_command(main, OPTIONS)
