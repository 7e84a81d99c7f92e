"""What every Feeder has in common: it serves whole batches, and single items as batches of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from skeleton_lab.metrics import top_k_accuracy
from skeleton_lab.skeletons import Skeleton

NUM_DEBUG_SAMPLES = 100  # what `debug` leaves of a data set


class BatchFeeder(Dataset, ABC):
    """A data set of labelled clips.

    Attributes:
        label: class of each clip, from 0.
        sample_name: name of each clip; scores are stored under it.
        class_names: what the classes are called, in their order; None where the data do not tell.
        skeleton: the joints; None where the data do not tell.
    """

    label: Sequence[int] | np.ndarray
    sample_name: list[str]
    class_names: Sequence[str] | None = None
    skeleton: Skeleton | None = None

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return the clip (C, T, V, M) float32, what else `get_batch` returns of it, its class and `index`."""
        *data, labels, _ = self.get_batch([index])
        return (*(tensor[0].numpy() for tensor in data), int(labels[0]), index)

    def as_tested(self) -> None:
        """Serve training clips that are held out as a test would: without draws that the list of clips asks for."""

    @abstractmethod
    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Return the clips (N, C, T, V, M) float32, their classes (N,) and `indices` (N,), both int64.

        What else the model takes of the clips stands behind these, before the classes: tensors with N rows.
        The random draws are those of as many single items, so that both ways give the same numbers.
        """

    def top_k(self, score: np.ndarray, top_k: int) -> float:
        """Return the share of clips whose class is among the `top_k` highest of its scores (N, classes)."""
        return top_k_accuracy(np.asarray(score), np.asarray(self.label), top_k)


def titled(sample_names: Sequence[str], clip_names: Sequence[str], index: int) -> str:
    """Return what to call a clip that is looked at: the name of its sample, and its own, if its archive has one."""
    own = clip_names[index] if index < len(clip_names) else ""
    return f"{sample_names[index]} {own}".rstrip()
