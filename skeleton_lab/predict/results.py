"""Predictions for people and for programs: lines, a table of time spans, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skeleton_lab.predict.predictor import Prediction
from skeleton_lab.skeleton_clip import USUAL_FPS

NOBODY = "nobody in sight"


@dataclass(frozen=True)
class Wording:
    """names: of the classes. top_k: how many labels to show. fps: frames a second; None: as the recording says, or 30.
    """

    names: Sequence[str]
    top_k: int
    fps: float | None

    def labels(self, prediction: Prediction) -> str:
        """Return "clap 71.2 %, read 11.0 %"."""
        return ", ".join(f"{self.names[label]} {100 * share:.1f} %"
                         for label, share in prediction.top(self.top_k)) or NOBODY

    def truth(self, prediction: Prediction) -> str:
        """Return what the recording's name or file says it is, where that is known and not predicted."""
        label, top = prediction.truth, prediction.top(1)
        if label is None or not top or label == top[0][0]:
            return ""
        return f"  (is: {self.names[label]})"


def lines(predictions: Sequence[Prediction], wording: Wording) -> list[str]:
    """Return one line for each recording, and how many were right where that is known."""
    shown = [f"{prediction.take.name}: {wording.labels(prediction)}{wording.truth(prediction)}"
             for prediction in predictions]
    known = [prediction for prediction in predictions if prediction.logits is not None and prediction.truth is not None]
    if len(known) > 1:
        right = sum(prediction.top(1)[0][0] == prediction.truth for prediction in known)
        shown.append(f"top-1: {100 * right / len(known):.2f} % of the {len(known)} recordings whose class is known")
    return shown


def span_table(predictions: Sequence[Prediction], wording: Wording) -> list[str]:
    """Return a table of the windows of one recording: frames (from 0), seconds, labels."""
    rows = [f"{'frames':>13}  {'seconds':>15}  label"]
    for prediction in predictions:
        start, stop = span(prediction)
        fps = wording.fps or prediction.take.recording.fps or USUAL_FPS
        seconds = f"{start / fps:.2f}-{stop / fps:.2f}"
        rows.append(f"{f'{start}-{stop - 1}':>13}  {seconds:>15}  {wording.labels(prediction)}")
    return rows


def span(prediction: Prediction) -> tuple[int, int]:
    """Return the first frame of a recording or window, and the one after its last."""
    take = prediction.take
    return take.start, take.start + take.num_frames


def as_json(predictions: Sequence[Prediction], wording: Wording) -> list[dict[str, Any]]:
    """Return plain data: recording, first and last frame, top labels, the known class (or null), all logits."""
    described = []
    for prediction in predictions:
        start, stop = span(prediction)
        described.append({
            "recording": prediction.take.name, "first_frame": start, "last_frame": stop - 1,
            "true_class": prediction.truth,
            "top": [{"class": label, "name": wording.names[label], "probability": share}
                    for label, share in prediction.top(wording.top_k)],
            "logits": None if prediction.logits is None else prediction.logits.tolist()})
    return described


def captions(predictions: Sequence[Prediction], num_frames: int, wording: Wording) -> list[str]:
    """Return what to write on each frame of a recording: its prediction, or that of the window it is nearest to."""
    middles = [sum(span(prediction)) / 2 for prediction in predictions]
    texts = [wording.labels(prediction) for prediction in predictions]

    def nearest(frame: int) -> int:
        return min(range(len(middles)), key=lambda number: abs(middles[number] - frame - 0.5))

    return [texts[nearest(frame)] for frame in range(num_frames)]
