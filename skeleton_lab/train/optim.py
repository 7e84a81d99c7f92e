"""Optimiser and learning-rate schedule of both papers' recipes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from torch import nn, optim

from skeleton_lab.errors import UserError
from skeleton_lab.train.flags import LARGEST_REAL


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a decay at each of some epochs (spec: CTR-GCN 3.3, MS-G3D 3.3).

    Attributes:
        base_lr: the rate between warm-up and the first decay.
        warm_up_epochs: epochs of warm-up; 0 for none.
        decay_epochs: 0-based epochs from which one more decay applies.
        decay_rate: the factor of a decay.
        cosine_epochs: with a cosine in place of the decays, after how many epochs it ends at 0; else 0.
    """

    base_lr: float
    warm_up_epochs: int
    decay_epochs: Sequence[int]
    decay_rate: float
    cosine_epochs: int = 0

    def within(self, epoch: int, done: float) -> float:
        """Return the rate when a share `done` of a 0-based epoch is behind: a cosine falls with every batch."""
        if not self.cosine_epochs or epoch < self.warm_up_epochs:
            return self.learning_rate(epoch)
        return self.base_lr * (1 + math.cos(math.pi * min((epoch + done) / self.cosine_epochs, 1))) / 2

    def learning_rate(self, epoch: int) -> float:
        """Return the rate at the beginning of a 0-based epoch; without a cosine it is constant within the epoch.

        Raises:
            UserError: a decay that makes it grow beyond all numbers.
        """
        if epoch < self.warm_up_epochs:
            return self.base_lr * (epoch + 1) / self.warm_up_epochs
        if self.cosine_epochs:
            return self.within(epoch, 0)
        with suppress(OverflowError):
            rate = self.base_lr * self.decay_rate ** sum(epoch >= decay for decay in self.decay_epochs)
            if rate <= LARGEST_REAL:
                return rate
        raise UserError(f"--lr-decay-rate {self.decay_rate:g}: the learning rate of epoch {epoch + 1} is too large for "
                        "single precision; a decay is a factor below 1")


def make_optimizer(name: str, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float,
                   nesterov: bool) -> optim.Optimizer:
    """Return SGD (momentum 0.9) or Adam over one group of all `parameters`.

    BatchNorm's affine terms and biases are decayed too: published results depend on it.
    """
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    if name == "Adam":
        return optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    return optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=nesterov, weight_decay=weight_decay)


def set_learning_rate(optimizer: optim.Optimizer, lr: float) -> None:
    """Set the rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr
