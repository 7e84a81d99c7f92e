"""What every Feeder has in common: it serves whole batches, and single items as batches of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from skeleton_lab.metrics import top_k_accuracy

NUM_DEBUG_SAMPLES = 100  # what `debug` leaves of a data set


class BatchFeeder(Dataset, ABC):
    """A data set of labelled clips.

    Attributes:
        label: class of each clip, from 0.
        sample_name: name of each clip; scores are stored under it.
    """

    label: Sequence[int] | np.ndarray
    sample_name: list[str]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, int]:
        """Return the clip (C, T, V, M) float32, its class and `index`."""
        data, labels, _ = self.get_batch([index])
        return data[0].numpy(), int(labels[0]), index

    @abstractmethod
    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the clips (N, C, T, V, M) float32, their classes (N,) and `indices` (N,), both int64.

        The random draws are those of as many single items, so that both ways give the same numbers.
        """

    def top_k(self, score: np.ndarray, top_k: int) -> float:
        """Return the share of clips whose class is among the `top_k` highest of its scores (N, classes)."""
        return top_k_accuracy(np.asarray(score), np.asarray(self.label), top_k)
