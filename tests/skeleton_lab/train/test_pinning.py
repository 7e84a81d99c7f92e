"""Batches in page-locked memory, and what is said where a machine refuses it. Real ones: tests/gpu."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skeleton_lab.nn.inputs import Inputs
from skeleton_lab.train.batches import Batches, SeededFetch, make_loader
from skeleton_lab.train.pinning import Pinnable

CUDA = torch.device("cuda", 0)
REFUSED = "CUDA error: out of memory\ncudaHostAlloc"


class Feeder:
    """Twelve clips of a frame, which say their numbers."""

    label = np.arange(12) % 4

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return np.full((3, 1, 2, 1), index, np.float32), self.label[index], index


@pytest.fixture
def gpu(monkeypatch):
    """Loaders pin as they do beside a GPU; how often is counted, and `refused` makes it fail."""

    class Memory:
        pinned, asked, refused = 0, 0, False

    def pin(self):
        Memory.asked += 1
        if Memory.refused:
            raise RuntimeError(REFUSED)
        Memory.pinned += 1
        return self.clone()

    if hasattr(torch, "accelerator"):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(Pinnable, "refused", False)
    return Memory


def epoch(say, describe=None):
    """The batches of an epoch by two loaders, as a training has them."""
    feeder = Feeder()
    loaders = [make_loader(SeededFetch(feeder, describe), Batches(12, 4, 0, training), 0, CUDA, say)
               for training in (True, False)]
    return [list(loader) for loader in loaders]


def test_batches_are_pinned(gpu):
    training, testing = epoch(pytest.fail)
    assert gpu.pinned == 6 * 3
    assert [indices.tolist() for _, _, indices in testing] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert sorted(int(index) for _, _, indices in training for index in indices) == list(range(12))
    assert all(torch.equal(clips[:, 0, 0, 0, 0], indices.float()) for clips, _, indices in training)


def test_where_memory_cannot_be_locked_training_goes_on_and_it_is_said_once(gpu):
    gpu.refused = True
    said = []
    found = epoch(said.append)
    gpu.refused, Pinnable.refused = False, False
    for batches, expected in zip(found, epoch(pytest.fail), strict=True):
        for batch, other in zip(batches, expected, strict=True):
            assert all(torch.equal(part, same) for part, same in zip(batch, other, strict=True))
    assert said == ["Batches cannot be put into page-locked memory (CUDA error: out of memory cudaHostAlloc); going on "
                    "without, which makes copies to the GPU slower."]


def test_it_is_not_tried_again(gpu):
    gpu.refused = True
    epoch(lambda line: None)
    assert gpu.asked == 1


def test_what_comes_with_the_clips_is_pinned_too(gpu):
    training, _ = epoch(pytest.fail, lambda clips, indices: Inputs((clips, torch.zeros(len(indices), 2))))
    assert gpu.pinned == 6 * 4 and isinstance(training[0][0], Inputs)
