"""GPU memory of recorded passes: given back when it is released, and when a recording fails; pinned memory."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from skeleton_lab.train.batches import Batches, SeededFetch, make_loader
from skeleton_lab.train.cuda_graph import RecordedPasses
from skeleton_lab.train.device import Precision
from tests.gpu.conftest import CUDA, MODELS
from tests.trees import open_tree

GB = 10**9
LIBRARIES_GB = 0.25  # what libraries keep at work, and what is left of the allocator's blocks
CARD_GB = 3
FAR_TOO_MUCH_GB = 300
CLIPS, STEPS = 64, 8


class Late(nn.Module):
    """A model that keeps most of a GB in a pass; at the end of one that is recorded it does what it may not.

    how: "waits" for a result, or "takes" more memory than there is.
    """

    capturable = True

    def __init__(self, how):
        super().__init__()
        self.first, self.last, self.how = nn.Linear(150, 4096), nn.Linear(4096, 4), how

    def forward(self, clips):
        rows = self.first(clips.permute(0, 2, 3, 4, 1).reshape(-1, 150))  # (N*T, 4096)
        for _ in range(6):
            rows = torch.tanh(rows + 1)
        logits = self.last(rows).view(len(clips), -1, 4).mean(dim=1)  # (N, 4)
        if torch.cuda.is_current_stream_capturing():
            if self.how == "waits":
                logits.sum().item()
            else:
                gigabytes(FAR_TOO_MUCH_GB)
        return logits


def gigabytes(count):
    """A tensor of that size."""
    return torch.empty(int(count * GB), dtype=torch.uint8, device=CUDA)


def reserved_gb():
    """What PyTorch holds of the card when it holds no more than it must."""
    gc.collect()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(CUDA) / GB


@pytest.fixture
def small_card():
    """As if the card had 3 GB beside what is taken already."""
    total = torch.cuda.get_device_properties(CUDA).total_memory
    limit_gb = reserved_gb() + CARD_GB
    if torch.cuda.mem_get_info(CUDA)[0] < CARD_GB * GB:
        pytest.skip(f"needs {CARD_GB} GB of free GPU memory")
    torch.cuda.set_per_process_memory_fraction(limit_gb * GB / total, CUDA)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, CUDA)


def take_steps(passes, clips, steps):
    """Steps of SGD with momentum."""
    optimizer = torch.optim.SGD(passes.model.parameters(), lr=1e-3, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        result = passes.run(clips, torch.arange(len(clips)) % 4, 1)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    assert result.isfinite().all()


@pytest.mark.usefixtures("small_card")
@pytest.mark.parametrize("how", ["waits", "takes"])
def test_a_recording_that_fails_gives_its_memory_back(how):
    precision, said, before = Precision("cuda"), [], reserved_gb()
    passes = RecordedPasses(Late(how).to(CUDA), CUDA, precision, precision.scaler(), True, said.append)
    take_steps(passes, torch.randn(CLIPS, 3, 96, 25, 2).pin_memory(), STEPS)
    assert not passes.recording and len(said) == 1 and "could not be recorded" in said[0]
    after = reserved_gb()
    print(f"{how}: {before:.2f} GB before, {after:.2f} after; {said[0]}")
    assert after - before < LIBRARIES_GB
    # Memory in the cache is given back for a block that does not fit beside it.
    kept = gigabytes(0.6 * CARD_GB)
    del kept
    assert gigabytes(0.8 * CARD_GB).is_cuda


@pytest.mark.parametrize("name", MODELS)
def test_a_release_returns_the_memory_of_the_recording(name):
    dotted, arguments = MODELS[name]
    with open_tree(name) as tree:
        model = tree.load(dotted)(**arguments).to(CUDA).train()
    precision, before = Precision("cuda"), reserved_gb()
    passes = RecordedPasses(model, CUDA, precision, precision.scaler(), True, pytest.fail)
    clips = torch.randn(32, 3, 64, 25, 2, device=CUDA)
    for _ in range(2):  # the second time it records again
        take_steps(passes, clips, 5)
        assert passes._recorded is not None
        recorded = reserved_gb()
        passes.release()
        released = torch.cuda.memory_reserved(CUDA) / GB  # by itself, without another look at what is free
        print(f"{name}: {before:.2f} GB before, {recorded:.2f} recorded, {released:.2f} released")
        assert recorded - before > LIBRARIES_GB  # else the next line says nothing
        assert released - before < LIBRARIES_GB


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_pinned(workers):
    feeder = SimpleNamespace(get_batch=lambda indices: (torch.zeros(len(indices), 3), torch.tensor(indices),
                                                        np.array(indices)))
    batches = Batches(8, 4, 0, shuffle=False)
    loader = make_loader(SeededFetch(feeder), batches, workers, CUDA, pytest.fail)
    for _ in range(2):
        for number, (clips, labels, indices) in enumerate(loader):
            assert clips.is_pinned() and labels.is_pinned() and list(indices) == batches.requests(number)[0].indices
