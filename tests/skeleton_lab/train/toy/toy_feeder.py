"""Clips whose class decides their mean; the noise is drawn anew each time, from all three generators."""

import random
import time

import numpy as np
import torch


class Feeder:
    def __init__(self, clips: int = 24, num_class: int = 3, debug: bool = False, noise: float = 0.3,
                 delay_s: float = 0.0, not_known: int = 0) -> None:
        self.classes = [i % num_class for i in range(10 if debug else clips)]
        self.label = [-1] * not_known + self.classes[not_known:]
        self.sample_name = [f"clip_{i}" for i in range(len(self.label))]
        self.noise, self.delay_s = noise, delay_s

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: int):
        time.sleep(self.delay_s)
        rng = np.random.RandomState(index)
        clip = rng.standard_normal((3, 4, 2, 1)) + 2 * np.eye(3)[self.classes[index] % 3][:, None, None, None]
        draws = random.random() + np.random.random() + torch.rand(1).item() - 1.5
        return clip + self.noise * draws, self.label[index], index
