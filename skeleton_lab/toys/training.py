"""The loop that both baselines share: train, then the accuracy on the test split."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, default_collate
from tqdm import tqdm

from skeleton_lab.data.formats.class_indices import require_known
from skeleton_lab.errors import UserError
from skeleton_lab.metrics import NOT_KNOWN
from skeleton_lab.toys.options import Options
from skeleton_lab.toys.sampling import FixedLength
from skeleton_lab.train.device import Precision, choose_device, choose_precision
from skeleton_lab.train.pinning import PinningLoader

WEIGHT_DECAY = 0.01


class Labelled(Protocol):
    """A data set of (clip (C, T, V, M) float32, class index) pairs."""

    @property
    def labels(self) -> np.ndarray:
        """The class index of every clip, (N,) int64."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, int]: ...


def run(options: Options, dataset: Callable[..., Labelled], build: Callable[[int], nn.Module]) -> float:
    """Train a baseline and return its top-1 accuracy on the test split, a share.

    dataset: (path, split, transform=...) -> a `Labelled` data set.
    build: number of classes -> model (N, C, T, V, M) -> (N, classes).

    Raises:
        UserError: from the data, the device or a loss that is not finite.
    """
    device = choose_device([options.device], print)
    precision = choose_precision(options.amp, "auto", device, print)
    seed_all(options.seed)
    train_set, test_set = (dataset(options.npz_path, split, transform=FixedLength(options.num_frames, augment))
                           for split, augment in (("train", True), ("test", False)))
    if len(train_set) < options.batch_size:
        raise UserError(f"{options.npz_path}: {len(train_set)} training clips do not fill a batch of "
                        f"{options.batch_size}; lower --batch-size")
    require_known(train_set.labels, f"{options.npz_path}: the training clips")
    num_known = int((test_set.labels != NOT_KNOWN).sum())
    if not num_known:
        raise UserError(f"{options.npz_path}: of no test clip is the class known; give an archive that says some")
    num_classes = int(max(train_set.labels.max(), test_set.labels.max())) + 1
    model = build(num_classes).to(device)
    print(f"{len(train_set):,} training and {len(test_set):,} test clips of {num_classes} classes; "
          f"{sum(p.numel() for p in model.parameters()):,} parameters; {device}"
          f"{', ' + str(precision.dtype).removeprefix('torch.') if precision.dtype else ''}")

    fit(model, _loader(train_set, options, device, train=True), precision, options)
    start_s = time.perf_counter()
    correct = evaluate(model, _loader(test_set, options, device, train=False), precision)
    accuracy = correct / num_known
    print(f"test top-1 {accuracy:.1%} ({correct:,} of {num_known:,} clips, chance {1 / num_classes:.1%}; "
          f"{time.perf_counter() - start_s:.1f} s)")
    return accuracy


def seed_all(seed: int) -> None:
    """Seed the generators that shuffling, augmentation, initialisation and dropout draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def fit(model: nn.Module, loader: DataLoader, precision: Precision, options: Options) -> None:
    """Train with AdamW on a half-cosine from `options.lr` to zero; print one line an epoch.

    Raises:
        UserError: the loss is not finite.
    """
    device = next(model.parameters()).device
    total_steps = options.epochs * len(loader)
    if options.max_steps:
        total_steps = min(total_steps, options.max_steps)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total_steps)
    scaler = precision.scaler()
    step = 0
    model.train()
    for epoch in range(1, math.ceil(total_steps / len(loader)) + 1):
        loss_sum = correct = seen = 0.0
        start_s = time.perf_counter()
        for clips, labels in tqdm(loader, f"epoch {epoch}", unit=" batches", leave=False, disable=None):
            clips, labels = clips.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            with precision.autocast():
                logits = model(clips)
            loss = nn.functional.cross_entropy(logits.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            step += 1
            seen += len(labels)
            loss_sum += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            if not math.isfinite(loss_sum):
                raise UserError(f"{options.npz_path}: the loss is {loss.item()} at step {step}; "
                                "look for NaN in the data with dataset_tools/inspect_npz.py, or lower --lr")
            if step == total_steps:
                break
        print(f"epoch {epoch}: loss {loss_sum / seen:.3f}, training top-1 {correct / seen:.1%}, "
              f"{seen / (time.perf_counter() - start_s):,.0f} clips/s")


@torch.inference_mode()
def evaluate(model: nn.Module, loader: DataLoader, precision: Precision) -> int:
    """Return how many clips of `loader` the model gets right."""
    device = next(model.parameters()).device
    model.eval()
    correct = 0
    for clips, labels in tqdm(loader, "testing", unit=" batches", leave=False, disable=None):
        with precision.autocast():
            logits = model(clips.to(device, non_blocking=True))
        correct += int((logits.argmax(1).cpu() == labels).sum())
    return correct


def _loader(dataset: Labelled, options: Options, device: torch.device, train: bool) -> DataLoader:
    workers = options.num_workers
    if workers is None:
        workers = 0 if device.type == "cpu" else min(4, os.cpu_count() or 1)
    arguments: dict[str, Any] = {"batch_size": options.batch_size, "shuffle": train, "drop_last": train,
                                 "num_workers": workers, "persistent_workers": train and workers > 0}
    if device.type == "cuda":
        return PinningLoader(dataset, print, default_collate, **arguments)
    return DataLoader(cast(Dataset, dataset), **arguments)
