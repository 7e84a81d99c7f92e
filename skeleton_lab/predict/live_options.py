"""Options of predict.py for videos and cameras, which are read before PyTorch loads."""

from __future__ import annotations

import argparse

from skeleton_lab.command.options import input_path

NEED_CAMERA = ("show", "smooth", "seconds")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `watching.watch` and `videos.Extraction`."""
    live = parser.add_argument_group("live (docs/predict.md)")
    live.add_argument("--camera", metavar="N", help="number of a camera, from 0; or a video or recording in its place, "
                      "at its own pace. Windows of --window-frames (default: the model's), one every --stride-frames "
                      "(default: 5)")
    live.add_argument("--smooth", type=int, metavar="W", help="windows to average the probabilities of (default: 5)")
    live.add_argument("--seconds", type=float, metavar="S", help="stop after so long (default: at its end, or Ctrl-C)")
    live.add_argument("--show", action="store_true", help="draw the people in a window")
    found = parser.add_argument_group("people in videos, who are found by extract_poses.py")
    found.add_argument("--pose-python", type=input_path, metavar="FILE",
                       help="the Python that has an estimator (default: .venv-pose/bin/python, of make pose)")
    found.add_argument("--estimator", default="mediapipe", metavar="NAME", help="mediapipe, rtmlib, or the dotted path "
                       "of a module of your own (default: %(default)s)")
    found.add_argument("--model", type=input_path, metavar="FILE", help="its network, if not its own")
    found.add_argument("--people", type=int, default=1, metavar="P", help="how many to look for (default: %(default)s)")


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if bool(options.paths) == (options.camera is not None):
        parser.error("give recordings or --camera, one of the two")
    for name in NEED_CAMERA:
        value = getattr(options, name)
        if value and options.camera is None:
            parser.error(f"argument --{name}: needs --camera")
        if not isinstance(value, bool) and value is not None and value <= 0:
            parser.error(f"argument --{name}: expected more than 0")
    if options.people < 1:
        parser.error("argument --people: expected 1 or more")
    if options.camera is not None and (options.gif or options.mp4):
        parser.error("arguments --gif and --mp4: draw recordings and videos, not --camera")
