"""predict.py --camera: a stream of people on the screen, as lines of text or JSON, with what it cost at the end."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.command.options import require_path
from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.errors import UserError
from skeleton_lab.predict.live import Live, Moment, Pace, PacedRecording, Source
from skeleton_lab.predict.predictor import Predictor
from skeleton_lab.predict.recordings import as_trained, fitted_take
from skeleton_lab.predict.results import NOBODY, Wording
from skeleton_lab.predict.videos import Extraction, estimator_stream, is_video
from skeleton_lab.skeleton_clip import USUAL_FPS
from skeleton_lab.train.trained import Trained

EVERY, SMOOTH, WINDOW = 5, 5, 64


def watch(options: argparse.Namespace, predictor: Predictor, wording: Wording, wanted: Wanted) -> None:
    """Predict until the stream ends, or Ctrl-C, or `--seconds` have passed.

    Raises:
        UserError: there is no such camera or file, no estimator, or its joints do not fit the model.
    """
    pace = Pace(options.window_frames or usual_window(predictor.trained), options.stride_frames or EVERY,
                options.smooth or SMOOTH)
    with ExitStack() as opened:
        source = opened.enter_context(_source(options, wanted))
        live = Live(predictor, source, pace, lambda recording: fitted_take(recording, wanted))
        window = None
        if options.show:
            from skeleton_lab.predict.window import Window

            window = opened.enter_context(Window(live))
            live.idle = window.refresh
        try:
            for moment in live.moments():
                if window:
                    window.tell(moment, label(moment, wording))
                if options.json or moment.changed:
                    print(_json(moment, wording) if options.json else _text(moment, wording), flush=True)
                if options.seconds and live.tally.lasted_s >= options.seconds:
                    break
        except KeyboardInterrupt:  # how one leaves a camera
            pass
        print(json.dumps({"summary": cost(live)}) if options.json else summary(live), flush=True)


def usual_window(trained: Trained) -> int:
    """Return how many frames a clip of the model's feeder has; 64 where it takes whole recordings."""
    given = trained.config.test_feeder_args
    for key in ("window_size", "clip_len"):
        if isinstance(given.get(key), int) and given[key] > 0:
            return int(given[key])
    return WINDOW


@contextmanager
def _source(options: argparse.Namespace, wanted: Wanted) -> Iterator[Source]:
    """Open what `--camera` says for the block: a camera by its number, a video, or a recording, each at its pace."""
    word = options.camera
    path = Path(word)
    if word.isdecimal() or is_video(path):
        extraction = Extraction(options.pose_python, options.estimator, options.model, options.people)
        with estimator_stream(word, extraction, as_trained(wanted).in_space) as stream:
            yield stream
        return
    require_path(word, "--camera")
    recordings = open_recordings(path, as_trained(wanted))
    if len(recordings) != 1:
        raise UserError(f"{path}: holds {len(recordings)} recordings; choose one with --index")
    recording = recordings[0].with_skeleton(wanted.skeleton, wanted.usual)
    yield PacedRecording(recording, options.fps or recording.fps or USUAL_FPS)


def _text(moment: Moment, wording: Wording) -> str:
    return f"{moment.time_s:8.2f} s  {label(moment, wording)}"


def label(moment: Moment, wording: Wording) -> str:
    """Return "wave 83.1 %", the mean of the last windows."""
    if moment.shares is None or moment.action is None:
        return NOBODY
    return f"{wording.names[moment.action]} {100 * moment.shares[moment.action]:.1f} %"


def _json(moment: Moment, wording: Wording) -> str:
    best = [] if moment.shares is None else np.argsort(-moment.shares, kind="stable")[:wording.top_k].tolist()
    return json.dumps({
        "frame": moment.number, "time_s": round(moment.time_s, 4), "changed": moment.changed,
        "delay_ms": round(1000 * moment.delay_s, 1),
        "top": [{"class": place, "name": wording.names[place], "probability": float(moment.shares[place])}
                for place in best if moment.shares is not None]})


def cost(live: Live) -> dict[str, Any]:
    """Return what a stream took: frames, those dropped, predictions and those skipped, their rate, delays in ms."""
    tally, ring = live.tally, live.ring
    delays_ms = 1000 * np.array(tally.delays_s or [0.0])
    return {"seconds": round(tally.lasted_s, 2), "frames": ring.received, "dropped_frames": ring.dropped,
            "predictions": tally.predictions, "skipped_predictions": tally.skipped,
            "predictions_per_s": round(tally.predictions / tally.lasted_s, 2),
            "delay_ms": {name: round(float(value), 1) for name, value in zip(
                ("median", "p95", "max"), np.percentile(delays_ms, (50, 95, 100)), strict=True)}}


def summary(live: Live) -> str:
    """Return the same as a line."""
    paid = cost(live)
    delay = paid["delay_ms"]
    return (f"{paid['seconds']} s: {paid['frames']} frames, {paid['dropped_frames']} dropped; {paid['predictions']} "
            f"predictions, {paid['predictions_per_s']} a second, {paid['skipped_predictions']} skipped; from frame to "
            f"prediction {delay['median']} ms (median), {delay['p95']} ms (95 %), {delay['max']} ms (most)")
