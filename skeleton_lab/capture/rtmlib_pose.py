"""rtmlib's networks (RTMPose, RTMO): COCO's 17 joints of all people in a picture.

They are downloaded at first use; `--model rtmo.onnx` takes a one-stage network from a file.
"""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from io import StringIO

import numpy as np
import rtmlib

from skeleton_lab.capture.estimators import Estimate, Estimator, Settings
from skeleton_lab.errors import UserError, note

_PHANTOM = 0.3  # mean score below which a network that must find somebody has found nobody


def open_estimator(settings: Settings) -> Estimator:
    """Return the two-stage networks, or RTMO of a file."""
    return People(settings)


class People:
    """All people of a picture, those found most surely first."""

    joints, version = "coco17", version("rtmlib")

    def __init__(self, settings: Settings) -> None:
        self._most = settings.people
        try:
            with redirect_stdout(None), redirect_stderr(StringIO()):  # it says there what it loads
                self._network = (rtmlib.RTMO(settings.model, model_input_size=(640, 640), backend="onnxruntime")
                                 if settings.model else rtmlib.Body(mode="balanced", backend="onnxruntime"))
        except Exception as error:  # of a download, of a file that is no network
            raise UserError(f"--estimator rtmlib: {settings.model or 'its networks'} cannot be loaded "
                            f"({type(error).__name__}: {str(error)[:200]}); without a network connection give --model "
                            "with an RTMO in .onnx") from error

    def see(self, picture: np.ndarray, time_ms: int) -> Estimate:
        """See `Estimator`."""
        joints, scores = self._network(picture[..., ::-1])  # it takes BGR
        joints = np.asarray(joints, np.float32).reshape(-1, 17, 2)
        scores = np.asarray(scores, np.float32).reshape(-1, 17)
        there = (scores.mean(axis=1) >= _PHANTOM) & (joints != 0).any(axis=(1, 2)) if len(scores) else np.zeros(0, bool)
        joints, scores = joints[there], np.maximum(scores[there], 0)
        if len(joints) > self._most:
            note(f"more than {self._most} people in a picture; the surest are taken (--people)")
        surest = np.argsort(-scores.mean(axis=1), kind="stable")[:self._most]
        return Estimate(np.concatenate([joints, scores[..., None]], axis=2)[surest])

    def close(self) -> None:
        """See `Estimator`."""
