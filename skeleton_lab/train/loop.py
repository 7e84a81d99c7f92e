"""One epoch of training, one evaluation: plain functions over a model and batches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import NOT_KNOWN
from skeleton_lab.train.batches import Batch
from skeleton_lab.train.cuda_graph import TrainingPasses, check_labels, logits_of
from skeleton_lab.train.device import Precision
from skeleton_lab.train.distributed import World, accumulating
from skeleton_lab.train.finite import GradientNorms


class TrainingDiverged(UserError):
    """The loss, a gradient or a weight is no longer a finite number."""


@dataclass(frozen=True)
class Compute:
    """Where and how a forward pass runs.

    Attributes:
        device: the device of the model.
        precision: its number format.
        forward_batch_size: clips per forward pass of a process; gradients of the chunks of a batch add up.
        stop: a truthy value asks the loop to stop after the step in hand.
        world: the processes that train together.
    """

    device: torch.device
    precision: Precision
    forward_batch_size: int
    stop: Any = False
    world: World = field(default_factory=World)


@dataclass
class Means:
    """Sums over the chunks of an epoch, from which its means follow; plain data, so it can be saved."""

    loss: float = 0.0
    correct: float = 0.0
    chunks: int = 0
    batches: int = 0

    def add(self, losses: list[float], accuracies: list[float]) -> None:
        """Add the chunks of some batches."""
        self.loss += sum(losses)
        self.correct += sum(accuracies)
        self.chunks += len(losses)

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.chunks, 1)

    @property
    def mean_accuracy(self) -> float:
        return self.correct / max(self.chunks, 1)


@dataclass
class Evaluation:
    """What a pass over a test set found.

    Attributes:
        scores: (N, classes) float32 logits, in the order of the data set.
        labels: (N,) int64 class indices, -1 where not known.
        loss: unweighted mean of the batches' losses, of clips whose class is known; NaN without one.
        batches: how many had such clips.
        seconds: wall-clock time.
        complete: False when the loop was asked to stop.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    loss: float
    batches: int
    seconds: float
    complete: bool = True

    @property
    def num_known(self) -> int:
        """Of how many clips the class is known."""
        return int((self.labels != NOT_KNOWN).sum())


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


def train_one_epoch(passes: TrainingPasses, batches: Iterable[Batch], optimizer: torch.optim.Optimizer,
                    compute: Compute, means: Means,
                    on_batches: Callable[[int, list[list[float]], list[list[float]]], None],
                    progress: dict[str, Any], flush_every: int = 20) -> dict[str, float]:
    """Train on each batch once.

    Losses and accuracies stay on the device and are fetched every `flush_every` batches, so that a GPU
    does not wait for the log.

    Args:
        means: the epoch's sums so far; added to in place (`means.batches` counts finished batches).
        on_batches: called at each fetch with the number of the first batch fetched and, for each
            batch, its chunks' losses and accuracies (fractions; means over the processes).
        progress: keyword arguments of the tqdm bar.

    Returns:
        `data_s`, `network_s`: seconds; `clips`: clips that all processes trained on.

    Raises:
        TrainingDiverged: a loss or a gradient was NaN or infinite; `args[1]` is the batch number.
    """
    passes.model.train()
    timer, clips, gradients = Timer(), 0, GradientNorms(passes.model, passes.scaler)
    pending: list[torch.Tensor] = []  # per batch: (2, chunks), losses and accuracies

    def flush() -> None:
        if not pending:
            return
        first = means.batches
        values = compute.world.mean(torch.stack(pending)).cpu().tolist()
        pending.clear()
        complaints = gradients.complaints(compute.world, len(values))
        for number, ((losses, _), complaint) in enumerate(zip(values, complaints, strict=True), first):
            if not np.isfinite(losses).all():
                raise TrainingDiverged(f"the training loss became {max(losses)}", number)
            if complaint:
                raise TrainingDiverged(complaint, number)
        for losses, accuracies in values:
            means.add(losses, accuracies)
            means.batches += 1
        on_batches(first, [losses for losses, _ in values], [accuracies for _, accuracies in values])

    with tqdm(**{"unit": "clip", "disable": None, "leave": False, **progress}) as bar:
        for data, labels, _ in batches:
            timer.lap("data")
            pending.append(_train_batch(passes, data, labels, optimizer, compute, gradients))
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


def _train_batch(passes: TrainingPasses, data: Any, labels: torch.Tensor, optimizer: torch.optim.Optimizer,
                 compute: Compute, gradients: GradientNorms) -> torch.Tensor:
    """Take one optimiser step; return (2, chunks): the chunks' undivided losses and accuracies."""
    optimizer.zero_grad(set_to_none=True)
    size = compute.forward_batch_size
    chunks = max(len(labels) // size, 1)
    results = []
    for start in range(0, len(labels), size):
        last = start + size >= len(labels)
        with nullcontext() if last else accumulating(passes.model):
            results.append(passes.run(data[start:start + size], labels[start:start + size], chunks))
    gradients.note()
    passes.scaler.step(optimizer)
    passes.scaler.update()
    return torch.stack(results, dim=1)  # (2, chunks)


def evaluate(model: nn.Module, batches: Iterable[Batch], compute: Compute, progress: dict[str, Any]) -> Evaluation:
    """Return the scores of `model` over `batches`, in evaluation mode and without gradients.

    Of several processes each computes its own batches, and all return the scores of all.
    """
    world = compute.world
    world.follow_main(model)
    model.eval()
    start = time.perf_counter()
    scores, labels_seen, losses, complete = [], [], [], True
    with torch.inference_mode(), tqdm(**{"unit": "clip", "disable": None, "leave": False, **progress}) as bar:
        for data, labels, _ in batches:
            with compute.precision.autocast():
                logits = logits_of(model(data.to(compute.device, non_blocking=True))).float()
            check_labels(labels, logits.shape[1], not_known_ok=True)
            if (labels != NOT_KNOWN).any():  # the loss of a batch is the mean over the clips whose class is known
                losses.append(functional.cross_entropy(logits, labels.to(compute.device, non_blocking=True),
                                                       ignore_index=NOT_KNOWN))
            scores.append(logits)
            labels_seen.append(labels)
            bar.update(len(labels) * world.size)
            if compute.stop:
                complete = False
                break
    if world.size > 1:  # outside inference mode, in which PyTorch 2.3 cannot gather
        own = [[s.cpu() for s in scores], labels_seen, [loss.cpu() for loss in losses]]
        shards = world.gather((own, complete))
        scores, labels_seen, losses = (_interleaved([tensors[part] for tensors, _ in shards]) for part in range(3))
        complete = all(finished for _, finished in shards)
    all_scores = torch.cat(scores).cpu().numpy()
    loss = float(torch.stack(losses).mean()) if losses else math.nan
    return Evaluation(all_scores, torch.cat(labels_seen).numpy(), loss, len(losses), time.perf_counter() - start,
                      complete)


def _interleaved(shards: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    """Return the batches in the order of the data set: of the processes in turn, as `Batches` deals them out."""
    return [shard[number] for number in range(len(shards[0])) for shard in shards if number < len(shard)]
