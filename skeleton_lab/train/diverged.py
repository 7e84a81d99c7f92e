"""What a training leaves and says when a loss or a gradient is no longer a number."""

from __future__ import annotations

import numpy as np
import torch

from skeleton_lab.nn.inputs import Inputs
from skeleton_lab.train import result_files
from skeleton_lab.train.batches import SeededFetch
from skeleton_lab.train.loop import TrainingDiverged
from skeleton_lab.train.setup import Setup, Split
from skeleton_lab.train.workdir import DIVERGED_BATCH

KEPT = ("the last saved state is kept: check the data and --resume, or start afresh with a lower --base-lr")
_SHOWN_SAMPLES = 8


def diverged_in(setup: Setup, part: Split, batch: int, lr: float, reason: str) -> TrainingDiverged:
    """Save batch number `batch` of the epoch for replay; return the error that names its samples.

    The clips are `data`; what else the model takes of them, `input_2` and so on.
    """
    epoch = part.batches.epoch
    step = epoch * len(part.batches) + batch + 1
    requests = part.batches.requests(batch)
    indices = [index for request in requests for index in request.indices]
    names = [str(part.names[i % len(part.names)]) for i in indices]  # once, where a feeder repeats its samples
    path = setup.work_dir.path / DIVERGED_BATCH
    if setup.world.is_main:
        pieces = [SeededFetch(part.feeder).__getitems__(request) for request in requests]
        inputs = [torch.cat(tensors).numpy()
                  for tensors in zip(*(Inputs.of(data).tensors for data, _, _ in pieces), strict=True)]
        labels = torch.cat([labels for _, labels, _ in pieces]).numpy()
        result_files.write_batch(path, {
            "data": inputs[0], **{f"input_{number}": tensor for number, tensor in enumerate(inputs[1:], 2)},
            "labels": labels, "indices": np.array(indices), "names": np.array(names),
            "epoch": np.array(epoch + 1), "step": np.array(step), "learning_rate": np.array(lr)})
    setup.world.wait()  # the others end the run
    shown = ", ".join(names[:_SHOWN_SAMPLES]) + (", ..." if len(names) > _SHOWN_SAMPLES else "")
    return TrainingDiverged(f"{reason} in epoch {epoch + 1}, batch {batch + 1}, step {step} (learning rate {lr:g}, "
                            f"samples {shown}); the batch is in {path}, {KEPT}")
