"""The toy clips, with the numbers that decide them in a file; and what may befall it in the second epoch."""

import os

import numpy as np
import torch
import toy_feeder


class Feeder(toy_feeder.Feeder):
    """Clips from a `.npy` (N, C=3, T, V, M) that is mapped; `happens`: what happens at a clip of the second epoch."""

    def __init__(self, data_path: str, happens: str = "", once: str = "", **options) -> None:
        super().__init__(**options)
        self.data_path, self.happens, self.once, self.asked = data_path, happens, once, 0
        self.data = np.load(data_path, mmap_mode="r")

    def __getitem__(self, index: int):
        self.asked += 1
        if self.happens and self.asked == len(self) + 9 and not os.path.exists(self.once):
            with open(self.once, "w"):
                getattr(self, self.happens)()
        clip = np.array(self.data[index])
        return clip + self.noise * torch.rand(1).item(), self.label[index], index

    def changes(self) -> None:
        """Somebody writes into it, and sets its time back."""
        times = os.stat(self.data_path)
        np.load(self.data_path, mmap_mode="r+")[3] += 1
        os.utime(self.data_path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def is_touched(self) -> None:
        os.utime(self.data_path)

    def is_cut_short(self) -> None:
        os.truncate(self.data_path, 200)

    def is_deleted(self) -> None:
        os.unlink(self.data_path)
