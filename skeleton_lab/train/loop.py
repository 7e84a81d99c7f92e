"""Training itself: a pass (forward, loss, backward), a step of the optimiser, an epoch. Nothing here writes a file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import NOT_KNOWN
from skeleton_lab.nn.inputs import Data, called
from skeleton_lab.nn.model import auxiliary_loss_of
from skeleton_lab.train.batches import Batch
from skeleton_lab.train.device import Precision
from skeleton_lab.train.distributed import World, accumulating
from skeleton_lab.train.finite import GradientNorms
from skeleton_lab.train.optim import shorten_gradient

Criterion = Callable[[Tensor, Tensor], Tensor]  # logits (N, classes) in single precision, labels (N,) -> the mean loss


class TrainingDiverged(UserError):
    """The loss, a gradient or a weight is no longer a finite number."""


class TrainingPasses:
    """The passes of one model, whose gradients add up in its parameters until an optimiser sets them to None.

    `skeleton_lab.train.cuda_graph.RecordedPasses` makes the same passes on a GPU, recorded once and replayed.

    Args:
        scaler: of the gradients; a pass multiplies its loss by it.
        criterion: the loss; a model's own auxiliary loss is added to it.
    """

    def __init__(self, model: nn.Module, device: torch.device, precision: Precision, scaler: torch.amp.GradScaler,
                 criterion: Criterion = functional.cross_entropy) -> None:
        self.model, self.device, self.precision, self.scaler = model, device, precision, scaler
        self.criterion, self.num_classes = criterion, 0

    def run(self, data: Data, labels: Tensor, chunks: float) -> Tensor:
        """Add the gradients of (mean loss of these clips) / chunks.

        Returns the undivided loss and top-1, (2,) on the device; where the model has an auxiliary loss, that too, (3,).

        Args:
            data: clips (N, C, T, V, M), or with what else the model takes, on any device. labels: (N,) class indices.

        Raises:
            UserError: a label that the model has no class for.
        """
        with self.precision.autocast():
            logits = logits_of(called(self.model, data.to(self.device, non_blocking=True)))  # (N, classes)
        self.num_classes = logits.shape[1]
        check_labels(labels, self.num_classes)
        targets = labels.to(self.device, non_blocking=True)
        with self.precision.autocast():
            auxiliary = auxiliary_loss_of(self.model, logits, targets)
        loss = self.criterion(logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits, targets)
        total = loss if auxiliary is None else loss + auxiliary
        self.scaler.scale(total / chunks).backward()
        accuracy = (logits.detach().argmax(dim=1) == targets).float().mean()
        beside = [] if auxiliary is None else [auxiliary.detach().float()]
        return torch.stack([loss.detach().float(), accuracy, *beside])

    def release(self) -> None:
        """Give up what is kept from pass to pass: nothing."""


def train_step(passes: TrainingPasses, data: Data, labels: Tensor, optimizer: torch.optim.Optimizer,
               compute: Compute, gradients: GradientNorms) -> Tensor:
    """Take one optimiser step; return (2 or 3, chunks): what the passes of the batch's chunks returned."""
    optimizer.zero_grad(set_to_none=True)
    size = compute.forward_batch_size
    chunks = max(len(labels) // size, 1)
    results = []
    for start in range(0, len(labels), size):
        last = start + size >= len(labels)
        with nullcontext() if last else accumulating(passes.model):
            results.append(passes.run(data[start:start + size], labels[start:start + size], chunks))
    gradients.note()
    if compute.grad_max is not None:
        passes.scaler.unscale_(optimizer)
        shorten_gradient(optimizer, compute.grad_max)
    passes.scaler.step(optimizer)
    passes.scaler.update()
    return torch.stack(results, dim=1)  # (2 or 3, chunks)


def train_one_epoch(passes: TrainingPasses, batches: Iterable[Batch], optimizer: torch.optim.Optimizer,
                    compute: Compute, means: Means, on_batches: Callable[[int, list[ChunkFigures]], None],
                    progress: dict[str, Any], flush_every: int = 20) -> dict[str, float]:
    """Train on each batch once.

    Losses and accuracies stay on the device and are fetched every `flush_every` batches, so that a GPU
    does not wait for the log.

    Args:
        means: the epoch's sums so far; added to in place (`means.batches` counts finished batches).
        on_batches: called at each fetch with the number of the first batch fetched and, for each
            batch, the figures of its chunks (means over the processes).
        progress: keyword arguments of the tqdm bar.

    Returns:
        `data_s`, `network_s`: seconds; `clips`: clips that all processes trained on.

    Raises:
        TrainingDiverged: a loss or a gradient was NaN or infinite; `args[1]` is the batch number.
    """
    passes.model.train()
    for module in compute.frozen:
        module.eval()
    timer, clips, gradients = Timer(), 0, GradientNorms(passes.model, passes.scaler)
    pending: list[Tensor] = []  # per batch: (2 or 3, chunks)

    def flush() -> None:
        if not pending:
            return
        first = means.batches
        values: list[ChunkFigures] = compute.world.mean(torch.stack(pending)).cpu().tolist()
        pending.clear()
        complaints = gradients.complaints(compute.world, len(values))
        for number, ((losses, _, *others), complaint) in enumerate(zip(values, complaints, strict=True), first):
            for what, figures in zip(("training", "auxiliary"), (losses, *others), strict=False):
                if not np.isfinite(figures).all():
                    raise TrainingDiverged(f"the {what} loss became {max(figures)}", number)
            if complaint:
                raise TrainingDiverged(complaint, number)
        for chunks in values:
            means.add(*chunks)
            means.batches += 1
        on_batches(first, values)

    with tqdm(**{"unit": "clip", "disable": None, "leave": False, **progress}) as bar:
        for data, labels, _ in batches:
            timer.lap("data")
            pending.append(train_step(passes, data, labels, optimizer, compute, gradients))
            if len(pending) == flush_every:
                flush()
            clips += len(labels) * compute.world.size
            bar.update(len(labels) * compute.world.size)
            timer.lap("network")
            if compute.world.largest(bool(compute.stop)):
                break
    flush()
    passes.release()  # its memory is for the evaluation
    timer.lap("network")
    return {"data_s": timer.data, "network_s": timer.network, "clips": clips}


@dataclass(frozen=True)
class Compute:
    """Where and how a forward pass runs.

    Attributes:
        device: the device of the model.
        precision: its number format.
        forward_batch_size: clips per forward pass of a process; gradients of the chunks of a batch add up.
        stop: a truthy value asks the loop to stop after the step in hand.
        world: the processes that train together.
        frozen: parts of the model that stay in evaluation mode.
        grad_max: the length to which the gradient of a step is shortened, None to leave it.
    """

    device: torch.device
    precision: Precision
    forward_batch_size: int
    stop: Any = False
    world: World = field(default_factory=World)
    frozen: tuple[nn.Module, ...] = ()
    grad_max: float | None = None


ChunkFigures = list[list[float]]  # of a batch: its chunks' losses, accuracies (fractions) and perhaps auxiliary losses


@dataclass
class Means:
    """Sums over the chunks of an epoch, from which its means follow; plain data, so it can be saved."""

    loss: float = 0.0
    correct: float = 0.0
    chunks: int = 0
    batches: int = 0
    auxiliary: float = 0.0

    def add(self, losses: list[float], accuracies: list[float], auxiliaries: list[float] | None = None) -> None:
        """Add the chunks of some batches."""
        self.loss += sum(losses)
        self.correct += sum(accuracies)
        self.chunks += len(losses)
        self.auxiliary += sum(auxiliaries or ())

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.chunks, 1)

    @property
    def mean_accuracy(self) -> float:
        return self.correct / max(self.chunks, 1)

    @property
    def mean_auxiliary(self) -> float:
        return self.auxiliary / max(self.chunks, 1)


@dataclass
class Timer:
    """Wall-clock seconds spent waiting for data and computing."""

    data: float = 0.0
    network: float = 0.0
    _mark: float = field(default_factory=time.perf_counter)

    def lap(self, part: str) -> None:
        """Add the time since the last lap to `part` ("data" or "network")."""
        now = time.perf_counter()
        setattr(self, part, getattr(self, part) + now - self._mark)
        self._mark = now


def logits_of(output: Any) -> Tensor:
    """Return the logits (N, classes) of what a model returns, which may be a tuple that begins with them."""
    return output[0] if isinstance(output, tuple) else output


def averaged(logits: Tensor, count: int) -> Tensor:
    """Return one row (count, classes) for each recording of which several clips were computed, one behind the other:
    the logarithm of their mean probabilities. Where each has one clip, the logits are returned as they are.
    """
    if len(logits) == count:
        return logits
    logs = logits.view(count, -1, logits.shape[1]).log_softmax(dim=2)
    return logs.logsumexp(dim=1) - math.log(logs.shape[1])


def check_labels(labels: Tensor, num_classes: int, not_known_ok: bool = False) -> None:
    """Raise a UserError unless each label is one of the classes, or -1, not known, where that is `not_known_ok`.

    Labels that are on a GPU have been looked at.
    """
    if labels.is_cuda:
        return
    smallest, largest = int(labels.min()), int(labels.max())
    if largest >= num_classes:
        from_one = "; if the labels count from 1, subtract 1 from all" if largest == num_classes else ""
        raise UserError(f"label {largest} is out of range for a model of {num_classes} classes; "
                        f"check num_class in model_args against the data{from_one}")
    if smallest < (NOT_KNOWN if not_known_ok else 0):
        raise UserError(f"label {smallest} is no class; classes count from 0, and clips whose class is not known (-1) "
                        "can be tested, not trained on: take them out of the training data")
