"""NW-UCLA as BlockGCN takes it, as configurations name it: `feeders.feeder_ucla.Feeder`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from skeleton_lab.data.feeders import feeder_ucla


class Feeder(feeder_ucla.Feeder):
    """The engine's clips of NW-UCLA, options and streams too, and the positions of the joints besides."""

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Return clips and positions (N, C, T, V, 1) float32, their classes (N,) and `indices` (N,), both int64."""
        both, labels, indices_of = super().get_batch(indices)
        return *both.chunk(2, dim=1), labels, indices_of

    def _streamed(self, joints: np.ndarray, there: np.ndarray) -> np.ndarray:
        positions = np.where(there[..., None, None], joints, 0)
        return np.concatenate([super()._streamed(joints, there), positions], axis=-1)
