"""NW-UCLA as SkateFormer takes it: 64 frames, where each of them stands, augmented, joints by parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from feeders.partitions import UCLA_ORDER
from skeleton_lab.data.feeders import feeder_ucla, transforms
from skeleton_lab.skeletons import UCLA_20


class Feeder(feeder_ucla.Feeder):
    """Clips of one body, and where in its recording each of their frames stands, from -1 to 1.

    Args:
        data_path: not used, since the stream is `data_type`; `root` is the folder of the recordings.
        label_path, repeat, window_size, debug, root, observe, names: as in
            `skeleton_lab.data.feeders.feeder_ucla.Feeder`; by default clips have 64 frames.
        data_type: the stream: with b in it bones, with m motion, else joints.
        p: the share of training clips that lose a coordinate, and of those that lose joints in some frames.
        partition: take the joints part by part; False: as they were recorded.
    """

    num_frames = 64

    def __init__(self, data_path: str = "", label_path: str = "train", data_type: str = "j", repeat: int = 1,
                 p: float = 0.5, partition: bool = False, **options: Any) -> None:
        stream = " ".join(word for word in ("bone", "motion") if word[0] in data_type) or "joint"
        super().__init__(stream, label_path, repeat, **options)
        self.p, self.partition = p, partition
        self._drawn = np.zeros((0,)), np.zeros((0, 0))

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Return the clips (N, C, T, V, M) and their frames' index (N, T), float32; classes and `indices` (N,), int64.
        """
        data, labels, numbers = super().get_batch(indices)
        lengths, picks = self._drawn
        position = torch.from_numpy((2 * picks / lengths[:, None] - 1).astype(np.float32))
        return data[:, :, :, UCLA_ORDER] if self.partition else data, position, labels, numbers

    def _draw(self, samples: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
        lengths, views, picks, kept = super()._draw(samples)
        self._drawn = lengths, picks
        return lengths, views, picks, kept

    def _draw_kept(self) -> list[np.ndarray]:
        if not self.random_view:
            return []
        return [transforms.draw_kept_coordinates(self.window_size, UCLA_20.num_joints, self.p)]
