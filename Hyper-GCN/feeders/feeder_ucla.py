"""NW-UCLA as Hyper-GCN takes it: longer clips, and in training some coordinates are dropped."""

from __future__ import annotations

import random

import numpy as np

from skeleton_lab.data.feeders import feeder_ucla

NUM_JOINTS, NUM_AXES = 20, 3
DROPPED_JOINTS, DROPPED_FRAMES = (4, 12), (16, 32)  # at least and at most


class Feeder(feeder_ucla.Feeder):
    """CTR-GCN's clips of NW-UCLA, of 64 frames, with two more augmentations.

    Of every second training clip one axis, drawn at random, is 0; of every second one (another draw) 4 to 12 joints are
    0 in 16 to 32 of its frames. Bones and motion follow from what is left.

    Arguments, attributes and errors are those of `skeleton_lab.data.feeders.feeder_ucla.Feeder`.
    """

    num_frames = 64

    def _draw_kept(self) -> list[np.ndarray]:
        """Draw from Python's `random`, after the frames of a clip: whether and which axis; whether, how many and which
        joints, how many and which frames.
        """
        if not self.random_view:
            return []
        kept = np.ones((self.window_size, NUM_JOINTS, NUM_AXES))
        if random.random() < 0.5:
            kept[..., random.randint(0, NUM_AXES - 1)] = 0
        if random.random() < 0.5:
            joints = random.sample(range(NUM_JOINTS), random.randint(*DROPPED_JOINTS))
            frames = random.sample(range(self.window_size), min(random.randint(*DROPPED_FRAMES), self.window_size))
            kept[np.ix_(frames, joints)] = 0
        return [kept]
