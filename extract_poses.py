#!/usr/bin/env python3
"""Find the people in videos: joints over time, as a file that all commands here read.

    .venv-pose/bin/python extract_poses.py --video clip.mp4 --output clip.npz
    .venv-pose/bin/python extract_poses.py --video videos/ --output poses/ --people 2 --jobs 4
    .venv-pose/bin/python extract_poses.py --camera 0 > lines.jsonl

Runs without PyTorch, in an environment of its own that `make pose` makes: mediapipe 0.10.21 has its networks inside,
and wants NumPy 1. Files of a folder keep their places; those that are there already are left alone, so that a run that
was interrupted is carried on by the same command. `predict.py clip.mp4` does this by itself.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, in_one_line, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_input("video", "a video, or a folder of videos", "--video", required=False)
    parser.add_argument("--camera", metavar="N", help="number of a camera, from 0, or a video in its place at its own "
                        "pace: print a line of JSON for each frame (skeleton_lab/capture/stream.py)")
    parser.add_argument("--output", type=Path, metavar="FILE", help=".npz to write, or a folder for a folder's")
    parser.add_argument("--estimator", default="mediapipe", metavar="NAME", help="mediapipe, rtmlib, or the dotted "
                        "path of a module of your own (default: %(default)s)")
    parser.add_argument("--model", type=input_path, metavar="FILE", help="its network: a pose landmarker's .task for "
                        "mediapipe, an RTMO in .onnx for rtmlib (default: mediapipe's own; rtmlib downloads some)")
    parser.add_argument("--people", type=int, default=1, metavar="P",
                        help="how many to look for, at most (default: %(default)s)")
    parser.add_argument("--jobs", type=int, metavar="N", help="videos at a time (default: one for each core)")
    parser.add_argument("--space", action="store_true", help="with --camera: joints in space, where the estimator "
                        "tells them (files have both)")
    options = parser.parse_args()
    if options.people < 1 or (options.jobs is not None and options.jobs < 1):
        parser.error("arguments --people and --jobs: expected 1 or more")
    if (options.video is None) == (options.camera is None):
        parser.error("give a video, or --camera")
    if options.video and options.output is None:
        parser.error("argument --output: is needed with --video")
    return options


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.capture.estimators import Settings, hush_libraries
from skeleton_lab.capture.extraction import Done, Job, is_done, jobs_of, run_job, run_jobs
from skeleton_lab.capture.stream import stream


def main(options: argparse.Namespace) -> int:
    hush_libraries()
    model = None if options.model is None else os.path.abspath(options.model)
    settings = Settings(options.estimator, model, options.people)
    if options.camera is not None:
        stream(options.camera, settings, options.space, sys.stdout)
        return 0
    jobs = jobs_of(options.video, options.output)
    waiting = [job for job in jobs if not is_done(job, settings)]
    if len(waiting) < len(jobs):
        print(f"{len(jobs) - len(waiting)} of {len(jobs)} are there already", file=sys.stderr)
    if not options.video.is_dir():
        for job in waiting:
            tell(run_job(job, settings, bar=True))
        return 0
    return run_all(waiting, settings, options.jobs or os.cpu_count() or 1)


def run_all(jobs: list[Job], settings: Settings, processes: int) -> int:
    """Extract many; those that cannot be are told, and the others go on."""
    failed = 0
    for done in run_jobs(jobs, settings, processes) if jobs else ():
        tell(done)
        failed += done.error is not None
    if failed:
        raise UserError(f"{failed} of {len(jobs)} videos could not be read, see above; the others are written")
    return 0


def tell(done: Done) -> None:
    if done.error is not None:
        print(in_one_line(f"error: {done.error}"), file=sys.stderr)
    else:
        people = "1 person" if done.people == 1 else f"{done.people} people"
        damaged = f", {done.damaged} of the frames damaged, taken as they are" if done.damaged else ""
        print(f"{done.job.output}: {done.frames} frames, {people}{damaged}", flush=True)


if __name__ == "__main__":
    run_command(main, OPTIONS)
