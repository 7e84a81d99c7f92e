"""NTU RGB+D 60 and 120 as BlockGCN takes them, as configurations name them: `feeders.feeder_ntu.Feeder`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from skeleton_lab.data.feeders import feeder_ntu, transforms
from skeleton_lab.skeletons import NTU_25


class Feeder(feeder_ntu.Feeder):
    """The engine's clips of NTU RGB+D, with streams of BlockGCN's own, and the positions of the joints besides.

    Joints stand relative to the top of the spine in the same frame, bones to their neighbour; the top of the spine
    keeps its position in both, so that where a body is, and whether it is, stays known. Motion is their steps. Options
    are the engine's.
    """

    channels = 2 * feeder_ntu.Feeder.channels

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Return clips and positions (N, C, T, V, M) float32, their classes (N,) and `indices` (N,), both int64."""
        both, labels, indices_of = super().get_batch(indices)
        return *both.chunk(2, dim=1), labels, indices_of

    def _streamed(self, joints: np.ndarray) -> np.ndarray:
        centre = NTU_25.root
        stream = transforms.bones(joints, NTU_25.parents if self.bone else [centre] * NTU_25.num_joints)
        stream[..., centre, :] = joints[..., centre, :]
        return np.concatenate([transforms.motion(stream) if self.vel else stream, joints], axis=-1)
