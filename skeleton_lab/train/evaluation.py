"""One evaluation: the scores of a model over batches of clips."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from skeleton_lab.metrics import NOT_KNOWN
from skeleton_lab.nn.inputs import called
from skeleton_lab.train.batches import Batch
from skeleton_lab.train.loop import Compute, averaged, check_labels, logits_of


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
                logits = logits_of(called(model, data.to(compute.device, non_blocking=True))).float()
            logits = averaged(logits, len(labels))
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
