"""What processes that train together exchange, by NCCL. A training on two GPUs: `test_command_lines`."""

from __future__ import annotations

import pytest
import torch
from torch import distributed

from skeleton_lab.train.distributed import World
from tests.gpu.conftest import CUDA
from tests.ranks import free_port


@pytest.fixture
def nccl():
    """A group of this process alone."""
    if not distributed.is_nccl_available():
        pytest.skip("this PyTorch has no NCCL")
    torch.cuda.set_device(CUDA)
    distributed.init_process_group("cpu:gloo,cuda:nccl", init_method=f"tcp://127.0.0.1:{free_port()}", rank=0,
                                   world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("nccl")
def test_nccl_takes_the_weights_of_each_model(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    World(0, 2, 0, 2).follow_main(model)  # as one of two; it hears itself
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.usefixtures("nccl")
def test_nccl_takes_parameters_that_are_not_contiguous():
    users = torch.nn.Linear(3, 4).to(CUDA)
    users.weight = torch.nn.Parameter(torch.arange(12.0, device=CUDA).view(3, 4).t())
    World(0, 2, 0, 2).follow_main(users)
    assert torch.equal(users.weight, torch.arange(12.0, device=CUDA).view(3, 4).t())
