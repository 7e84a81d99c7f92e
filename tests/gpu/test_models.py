"""The models on a GPU: golden figures, rounding beside the plain formulations, recomputation."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.train.device import allow_tf32
from tests import golden_models
from tests.golden_models import fill_golden, load_golden
from tests.plain_ctrgcn import PlainCTRGCN
from tests.plain_msg3d import PlainMsg3d
from tests.trees import open_tree

GOLDEN = {"ctrgcn_ntu": "CTR-GCN", "ctrgcn_ucla": "CTR-GCN", "baseline_ntu": "CTR-GCN", "msg3d_ntu": "MS-G3D",
          "msg3d_kinetics": "MS-G3D"}
CUDA = torch.device("cuda", 0)


@pytest.fixture(params=GOLDEN)
def golden(request):
    return load_golden(request.param, "cuda:0")


@pytest.fixture
def filled(golden):
    """The golden model, filled, float64, on the GPU."""
    with open_tree(GOLDEN[golden.name]) as tree:
        yield fill_golden(tree.load(golden.model)(**golden.model_args).double()).to(CUDA)


def test_eval_logits(filled, golden):
    golden_models.check_eval_logits(filled, golden)


def test_training_pass(filled, golden):
    golden_models.check_training_pass(filled, golden)


def test_sgd_losses(filled, golden):
    golden_models.check_sgd_losses(filled, golden)


def test_float32_training_logits(filled, golden, full_precision):
    golden_models.check_float32_training_logits(filled.float(), golden)


@pytest.fixture(params=["CTR-GCN", "MS-G3D"])
def pair(request):
    """A model and its plain formulation, float32, on the GPU, with weights as training finds them."""
    torch.manual_seed(0)
    with open_tree(request.param) as tree:
        if request.param == "CTR-GCN":
            ours = tree.load("model.ctrgcn.Model")(graph="graph.ntu_rgb_d.Graph")
            plain = PlainCTRGCN(tree.load("graph.ntu_rgb_d.Graph")().A)
            with torch.no_grad():
                for name, parameter in ours.named_parameters():
                    if name.endswith("alpha"):
                        parameter.fill_(0.3)  # at its start, zero, nothing is refined
        else:
            graph = "graph.ntu_rgb_d.AdjMatrixGraph"
            ours = tree.load("model.msg3d.Model")(60, 25, 2, 13, 6, graph)
            plain = PlainMsg3d(60, 2, 13, 6, tree.load(graph)().A_binary)
        plain.load_state_dict(ours.state_dict())
        yield ours.to(CUDA), plain.to(CUDA)


def step(model, clips, dtype=None):
    """Logits and the gradient of all parameters, one after the other, of one pass in training mode."""
    model.train().zero_grad()
    with torch.autocast("cuda", dtype) if dtype else nullcontext():
        logits = model(clips)
    F.cross_entropy(logits.float(), torch.arange(len(clips), device=CUDA)).backward()
    return logits.detach().double(), torch.cat([p.grad.flatten() for p in model.parameters()]).double()


def off_by(found, exact):
    """Relative distance of two vectors."""
    return ((found - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=["tf32", "bf16", "fp16"])
def test_rounds_no_worse_than_the_plain_formulation(pair, dtype):
    """In each format a run may use, ours is as near to double precision as the plain one, logits and gradients."""
    allow_tf32(CUDA)
    ours, plain = pair
    clips = torch.randn(8, 3, 32, 25, 2, device=CUDA)
    errors = {name: step(model, clips, dtype) for name, model in (("ours", ours), ("plain", plain))}
    exact = step(plain.double(), clips.double())
    for part, truth in enumerate(exact):
        our_error, plain_error = (off_by(errors[name][part], truth) for name in ("ours", "plain"))
        print(f"{('logits', 'gradients')[part]}, {dtype}: off by {our_error:.2e}, plain by {plain_error:.2e}")
        assert our_error <= 2 * plain_error + 1e-6


def test_recomputed_blocks_have_the_same_gradients(pair):
    ours, _ = pair
    ours.double()
    clips = torch.randn(4, 3, 16, 25, 2, device=CUDA, dtype=torch.float64)
    kept = step(ours, clips)
    ours.set_memory_friendly(True)
    for again, before in zip(step(ours, clips), kept, strict=True):
        assert off_by(again, before) < 1e-12


def test_the_same_to_the_bit_again(pair):
    """What resuming to the bit rests on: the operators have one order of additions."""
    torch.backends.cudnn.deterministic = True
    ours, _ = pair
    clips = torch.randn(8, 3, 32, 25, 2, device=CUDA)
    for dtype in (None, torch.bfloat16):
        first, again = step(ours, clips, dtype), step(ours, clips, dtype)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
