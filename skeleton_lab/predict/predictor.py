"""From recordings to probabilities, a few at a time, and the windows of a long one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.imports import construct
from skeleton_lab.nn.inputs import called
from skeleton_lab.predict.recordings import Take
from skeleton_lab.predict.staging import ClipStage, alike
from skeleton_lab.skeleton_names import same_joints
from skeleton_lab.train.batches import Request, SeededFetch
from skeleton_lab.train.loop import averaged, logits_of
from skeleton_lab.train.trained import Trained

TAKES_AT_ONCE = 64  # on the way to the model; bounds memory and the temporary files


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says of a recording or window: logits (classes,) float32, or None where nobody is in it.

    truth: the class that the recording's file tells, as one of the model's; None where it tells none of them.
    """

    take: Take
    logits: np.ndarray | None
    truth: int | None = None

    @property
    def probabilities(self) -> np.ndarray | None:
        """(classes,) float64, the softmax of the logits."""
        if self.logits is None:
            return None
        powers = np.exp(self.logits.astype(np.float64) - self.logits.max())
        return powers / powers.sum()

    def top(self, k: int) -> list[tuple[int, float]]:
        """Return the k most probable (class, probability), the best first; none where nobody is in it."""
        shares = self.probabilities
        if shares is None:
            return []
        return [(int(label), float(shares[label])) for label in np.argsort(-shares, kind="stable")[:k]]


class Predictor:
    """A trained model, its feeder, and how recordings are laid before that.

    Args:
        batch_size: clips of one forward pass.
        network: what computes the logits (default: the trained model).
    """

    def __init__(self, trained: Trained, stage: ClipStage, device: torch.device, batch_size: int,
                 network: nn.Module | None = None) -> None:
        self.trained, self.stage, self.device, self.batch_size = trained, stage, device, batch_size
        self.model = network or trained.model.to(device).eval()

    def predict(self, takes: Sequence[Take], empty_ok: bool = False) -> list[Prediction]:
        """Predict each of `takes`, in order.

        Raises:
            UserError: a recording does not fit the run, or nobody is in it (unless `empty_ok`).
        """
        predictions = []
        with tqdm(total=len(takes), unit="clip", disable=None, leave=False) as progress:
            for start in range(0, len(takes), TAKES_AT_ONCE):
                some = takes[start:start + TAKES_AT_ONCE]
                predictions += self.at_once(some, empty_ok)
                progress.update(len(some))
        return predictions

    def at_once(self, takes: Sequence[Take], empty_ok: bool = False) -> list[Prediction]:
        """Predict a few, without a progress bar; else as `predict`."""
        clips: list[np.ndarray] = []
        places: list[int] = []
        for place, take in enumerate(takes):
            self._refuse_other_skeleton(take)
            try:
                clips.append(self.stage.clip(take))
                places.append(place)
            except NothingToSee:
                if not empty_ok:
                    raise
        logits: list[np.ndarray | None] = [None] * len(takes)
        for group in alike(clips, self.stage):
            for number, row in zip(group, self._logits([clips[number] for number in group]), strict=True):
                logits[places[number]] = row
        return [Prediction(take, row, truth_of(take.recording, self.trained))
                for take, row in zip(takes, logits, strict=True)]

    def _refuse_other_skeleton(self, take: Take) -> None:
        expected, found = self.trained.skeleton, take.recording.num_joints
        count = self.trained.config.model_args.get("num_point") if expected is None else expected.num_joints
        if count is not None and found != count and (expected is None or take.recording.skeleton is None):
            raise UserError(f"{take.name}: has {found} joints, the model was trained on "
                            f"{count if expected is None else expected.name}; choose a recording of the same skeleton")
        if expected is None:  # a graph that nobody here knows: its joints can only be counted
            return
        if not same_joints(take.skeleton, expected):
            raise UserError(f"{take.name}: its skeleton is {take.skeleton.name}, the model was trained on "
                            f"{expected.name}; choose a recording of the latter, or say with --skeleton if the file "
                            "is one")

    def _logits(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Return (n, classes) float32 of clips that one data set can hold."""
        config = self.trained.config
        with tempfile.TemporaryDirectory(prefix="skeleton-lab-") as folder:
            options = self.stage.write(clips, Path(folder))
            fetch = SeededFetch(construct(config.feeder, options, "test_feeder_args"))
            rows = []
            for number, start in enumerate(range(0, len(clips), self.batch_size)):
                indices = list(range(start, min(start + self.batch_size, len(clips))))
                data, _, _ = fetch.__getitems__(Request((config.seed, 0, number, 0), indices))
                with torch.inference_mode():
                    output = called(self.model, data.to(self.device))
                rows.append(averaged(logits_of(output).float(), len(indices)).cpu())
        return torch.cat(rows).numpy()


def truth_of(recording: Recording, trained: Trained) -> int | None:
    """Return the class of a recording among the model's; None where it is not known to be one of these.

    Classes that have names are the same where their names are. A number alone is taken for the model's own only where
    nothing says that it counts among another data set's classes.
    """
    label, ours, theirs = recording.label, trained.class_names, recording.class_names
    if label is None or label < 0:
        return None
    if theirs is None:
        return label if label < trained.num_classes else None
    if label >= len(theirs):
        return None
    if ours is None:
        return label if len(theirs) == trained.num_classes else None
    return ours.index(theirs[label]) if theirs[label] in ours else None


def windows(num_frames: int, length: int, stride: int) -> list[tuple[int, int]]:
    """Return (start, stop) of windows of `length` frames, `stride` apart; the last one ends with the recording."""
    if num_frames <= length:
        return [(0, num_frames)]
    starts = list(range(0, num_frames - length + 1, stride))
    if starts[-1] + length < num_frames:
        starts.append(num_frames - length)
    return [(start, start + length) for start in starts]


def cut(take: Take, length: int, stride: int) -> list[Take]:
    """Return the windows of a recording, each a recording of its own."""
    return [take.cut(start, stop) for start, stop in windows(take.num_frames, length, stride)]
