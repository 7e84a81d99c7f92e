"""Optimisers, learning-rate schedules and the clipping of gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from torch import nn, optim

from skeleton_lab.errors import UserError
from skeleton_lab.train.flags import LARGEST_REAL
from skeleton_lab.train.settings import Config


@dataclass(frozen=True)
class Cosine:
    """Half a cosine, along which a rate falls with every batch.

    Attributes:
        end: after how many epochs it ends. end_lr: the rate there. start: the epoch in which it begins, at the top.
    """

    end: int
    end_lr: float = 0.0
    start: int = 0

    def rate(self, top: float, epochs: float) -> float:
        """Return the rate when so many epochs, whole ones or not, are behind."""
        share = min((epochs - self.start) / max(self.end - self.start, 1), 1)
        return self.end_lr + (top - self.end_lr) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a decay at each of some epochs (spec: CTR-GCN 3.3, MS-G3D 3.3), or a cosine.

    Attributes:
        base_lr: the rate between warm-up and the first decay.
        warm_up_epochs: epochs of warm-up; 0 for none.
        decay_epochs: 0-based epochs from which one more decay applies.
        decay_rate: the factor of a decay.
        cosine: in place of the decays, if any.
        warm_up_lr: the rate of the very first batch, from which warm-up rises with every batch; None: it rises by a
            step an epoch, the first of which is one step above 0.
    """

    base_lr: float
    warm_up_epochs: int
    decay_epochs: Sequence[int]
    decay_rate: float
    cosine: Cosine | None = None
    warm_up_lr: float | None = None

    @classmethod
    def of(cls, config: Config) -> Schedule:
        """Return the schedule that the settings of a training ask for."""
        cosine = (Cosine(config.num_epoch, config.min_lr, config.warm_up_epoch if config.warmup_prefix else 0)
                  if config.schedule == "cosine" else None)
        return cls(config.base_lr, config.warm_up_epoch, config.step, config.lr_decay_rate, cosine, config.warmup_lr)

    def within(self, epoch: int, done: float) -> float:
        """Return the rate when a share `done` of a 0-based epoch is behind."""
        if epoch < self.warm_up_epochs and self.warm_up_lr is not None:
            return self.warm_up_lr + (self.base_lr - self.warm_up_lr) * (epoch + done) / self.warm_up_epochs
        if self.cosine is None or epoch < self.warm_up_epochs:
            return self.learning_rate(epoch)
        return self.cosine.rate(self.base_lr, epoch + done)

    def learning_rate(self, epoch: int) -> float:
        """Return the rate at the beginning of a 0-based epoch, constant within it but for what `within` says.

        Raises:
            UserError: a decay that makes it grow beyond all numbers.
        """
        if epoch < self.warm_up_epochs:
            return (self.base_lr * (epoch + 1) / self.warm_up_epochs if self.warm_up_lr is None
                    else self.within(epoch, 0))
        if self.cosine is not None:
            return self.within(epoch, 0)
        with suppress(OverflowError):
            rate = self.base_lr * self.decay_rate ** sum(epoch >= decay for decay in self.decay_epochs)
            if rate <= LARGEST_REAL:
                return rate
        raise UserError(f"--lr-decay-rate {self.decay_rate:g}: the learning rate of epoch {epoch + 1} is too large for "
                        "single precision; a decay is a factor below 1")


def make_optimizer(name: str, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float,
                   nesterov: bool) -> optim.Optimizer:
    """Return SGD (momentum 0.9), Adam or AdamW over one group of all `parameters`.

    BatchNorm's affine terms and biases are decayed too: published results depend on it.
    """
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    if name in ("Adam", "AdamW"):
        return getattr(optim, name)(parameters, lr=lr, weight_decay=weight_decay)
    return optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=nesterov, weight_decay=weight_decay)


def set_learning_rate(optimizer: optim.Optimizer, lr: float) -> None:
    """Set the rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def shorten_gradient(optimizer: optim.Optimizer, longest: float) -> None:
    """Scale the gradients of all weights, taken together as one vector, to the length `longest` if it is longer."""
    nn.utils.clip_grad_norm_([parameter for group in optimizer.param_groups for parameter in group["params"]], longest)
