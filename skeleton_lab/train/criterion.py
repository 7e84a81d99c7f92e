"""The loss of a training: cross-entropy, with weights of the classes and smoothed labels if asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from skeleton_lab.errors import UserError, suggest
from skeleton_lab.nn.model import has_features
from skeleton_lab.train.config import Config

BALANCED = "balanced"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class CrossEntropy:
    """Logits (N, classes) and labels (N,) -> the mean loss; what evaluations report has neither of the two.

    Attributes:
        smoothing: share of each label that is spread evenly over all classes (Szegedy et al., "Rethinking the Inception
            Architecture ...", CVPR 2016).
        weights: (classes,) by which each clip's loss is multiplied. The mean is over the number of clips, so that it
            does not depend on which clips share a chunk or a process.
    """

    smoothing: float = 0.0
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.weights is None:
            return functional.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        losses = functional.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")
        return (losses * self.weights.to(losses.dtype)[labels]).mean()


def class_weights(config: Config, labels: NDArray[np.integer], model: nn.Module) -> list[float] | None:
    """Return the weights of the classes that `--class-weights` says, None without it.

    "balanced": N / (K n) for a class with n of the N training clips, of K classes that have any: all classes weigh the
    same, and the mean over the clips is 1. Else from a text file of one number a class, in their order.

    Raises:
        UserError: the file cannot be read, or does not hold a number of 0 or more for each class.
    """
    if config.class_weights is None:
        return None
    if config.class_weights == BALANCED:
        counts = np.bincount(labels)
        return (len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)) * (counts > 0)).tolist()
    path = Path(config.class_weights)
    weights = _read(path)
    classes = _num_classes(config, model)
    if classes is not None and len(weights) != classes:
        raise UserError(f"{path}: {len(weights)} weights for a model of {classes} classes; give one number a class, in "
                        "the order of the classes")
    if len(weights) <= labels.max():
        raise UserError(f"{path}: {len(weights)} weights, but the training data has a class {labels.max()}; give one "
                        "number a class, counted from 0")
    return weights


def _read(path: Path) -> list[float]:
    try:
        with open(path, encoding="utf-8") as file:
            words = file.read(_MOST_BYTES).replace(",", " ").split()
        weights = [float(word) for word in words]
    except OSError as error:
        remedy = f"; give --class-weights {BALANCED}, or a text file with one number a class"
        raise UserError(f"{path}: cannot read the class weights ({error.strerror})"
                        f"{suggest(str(path), [BALANCED]) or remedy}") from None
    except ValueError as error:
        raise UserError(f"{path}: not a list of class weights ({str(error)[:80]}); write one number a class") from None
    if not weights or not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise UserError(f"{path}: class weights are numbers of 0 or more, not all 0; write one a class")
    return weights


def _num_classes(config: Config, model: nn.Module) -> int | None:
    if has_features(model):
        fc: nn.Linear = model.fc  # type: ignore[assignment]
        return fc.out_features
    declared = config.model_args.get("num_class")
    return declared if isinstance(declared, int) else None


def make_criterion(config: Config, weights: Sequence[float] | None, device: torch.device) -> CrossEntropy:
    """Return the loss that the config asks for, with the class weights on the model's device."""
    return CrossEntropy(config.label_smoothing, None if weights is None else torch.tensor(weights, device=device))
