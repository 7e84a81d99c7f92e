"""SkateFormer on a GPU, which takes clips of other sizes than the graph networks: equations, recorded passes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.bench.recipes import RECIPES
from skeleton_lab.nn.inputs import Inputs
from skeleton_lab.train.cuda_graph import WARM_UP, RecordedPasses
from skeleton_lab.train.device import Precision
from tests.gpu.conftest import CUDA
from tests.trees import open_tree


@pytest.fixture
def pair():
    """The model and its reference with the published drop-outs, float64, on the GPU."""
    arguments = dict(RECIPES["skateformer"].arguments)
    torch.manual_seed(0)
    with open_tree("SkateFormer") as tree:
        ours = tree.load("model.skateformer.Model")(**arguments).double()
        plain = ours.reference(**arguments).double()
        plain.load_state_dict(ours.state_dict())
        yield ours.to(CUDA), plain.to(CUDA)


def batch(dtype):
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn(4, 3, 64, 24, 2, generator=generator, dtype=dtype)
    return Inputs((clips, torch.rand(4, 64, generator=generator, dtype=dtype) * 2 - 1)).to(CUDA)


@pytest.mark.parametrize("friendly", [False, True])
def test_in_double_precision_a_step_is_the_equations(pair, friendly):
    pair[0].set_memory_friendly(friendly)
    found = []
    for model in pair:
        torch.cuda.manual_seed(3)
        logits = model(*batch(torch.float64).tensors)
        loss = F.cross_entropy(logits, torch.arange(4, device=CUDA))
        found.append([logits, *torch.autograd.grad(loss, list(model.parameters()))])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("friendly", [False, True])
def test_a_recorded_pass_is_the_pass_to_the_bit(pair, friendly):
    torch.backends.cudnn.deterministic = True
    model = pair[0].float()
    model.set_memory_friendly(friendly)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = []
    for record in (False, True):
        model.load_state_dict(start)
        model.zero_grad(set_to_none=True)
        torch.cuda.manual_seed(0)
        precision, said = Precision("cuda"), []
        passes = RecordedPasses(model, CUDA, precision, precision.scaler(), record, said.append)
        results = [passes.run(batch(torch.float32), torch.arange(4), 1) for _ in range(WARM_UP + 3)]
        assert not said and (passes._recorded is not None) == record
        found.append((torch.stack(results), torch.cat([p.grad.flatten() for p in model.parameters()])))
    for plain, recorded in zip(*found, strict=True):
        torch.testing.assert_close(recorded, plain, rtol=0, atol=0)
