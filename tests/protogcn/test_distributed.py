"""ProtoGCN in two processes: gradients with both losses, moments of the whole batch, and one class memory for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.train.distributed import World, joined
from tests.ranks import run_ranks
from tests.several import assert_synchronised
from tests.trees import open_tree

SMALL = {"num_class": 4, "num_prototype": 5, "blocks": [[24, 1], [24, 2]]}
ARGUMENTS = "ProtoGCN", "model.protogcn.Model", SMALL


@pytest.mark.parametrize("memory_friendly", [False, True])
def test_synchronised_norms_are_those_of_the_whole_batch(memory_friendly):
    assert_synchronised(*ARGUMENTS, np.random.default_rng(1).standard_normal((4, 3, 8, 25, 2)), memory_friendly)


def contrast() -> list[np.ndarray]:
    """The class memory and all gradients after two contrastive losses over eight clips, of which this is a share."""
    world = World.from_environment()
    with open_tree("ProtoGCN") as tree, joined(world):
        torch.manual_seed(0)
        memory = tree.load("model.class_memory.ClassMemory")(9, 4).double()
        graphs = torch.randn(2, 8, 9, dtype=torch.float64)
        labels = torch.tensor([0, 0, 1, 1, 0, 1, 2, 3])
        logits = F.one_hot(torch.tensor([0, 1, 1, 2, 0, 1, 2, 0]), 4).double()
        wrapped = world.wrap(memory, torch.device("cpu"))
        own = slice(*(world.share(8, "clips") * edge for edge in (world.rank, world.rank + 1)))
        for some in graphs:
            wrapped(some[own], logits[own], labels[own]).backward()
        return [memory.avg_f.numpy(), *(parameter.grad.numpy() for parameter in memory.parameters())]


def test_all_processes_have_one_class_memory():
    [alone] = run_ranks(1, contrast)
    for found in run_ranks(2, contrast):
        for mine, expected in zip(found, alone, strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=1e-12)
