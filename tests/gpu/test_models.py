"""The models on a GPU: golden figures, rounding beside the references, recomputation."""

from __future__ import annotations

import copy
import functools
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skeleton_lab.train.cuda_graph import RecordedPasses
from skeleton_lab.train.device import Precision, allow_tf32
from tests import golden_models
from tests.golden_models import fill_golden, load_golden
from tests.gpu.conftest import CUDA, MODELS
from tests.trees import open_tree

GOLDEN = {"ctrgcn_ntu": "CTR-GCN", "ctrgcn_ucla": "CTR-GCN", "baseline_ntu": "CTR-GCN", "msg3d_ntu": "MS-G3D",
          "msg3d_kinetics": "MS-G3D", "blockgcn_ntu": "BlockGCN", "blockgcn_ntu120": "BlockGCN",
          "hypergcn_ntu": "Hyper-GCN", "hypergcn_ucla_large": "Hyper-GCN",
          "protogcn_coco": "ProtoGCN", "protogcn_ntu": "ProtoGCN", "skateformer_ntu": "SkateFormer",
          "skateformer_ucla": "SkateFormer"}
MILLIMETRES = 0.002  # that a joint moves from frame to frame


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


@pytest.fixture(params=MODELS)
def pair(request):
    """A model and its reference, float32, on the GPU, with weights as training finds them."""
    torch.manual_seed(0)
    dotted, arguments = MODELS[request.param]
    with open_tree(request.param) as tree:
        ours = tree.load(dotted)(**arguments)
        plain = ours.reference(**arguments)
        with torch.no_grad():
            for name, parameter in ours.named_parameters():
                if name.endswith("alpha"):
                    parameter.fill_(0.3)  # at its start, zero, nothing is refined
        plain.load_state_dict(ours.state_dict())
        yield ours.to(CUDA), plain.to(CUDA)


def step(model, clips, dtype=None):
    """Logits and the gradient of all parameters, one after the other, of one pass in training mode."""
    targets = torch.arange(len(clips), device=CUDA) % 60
    model.train().zero_grad()
    with torch.autocast("cuda", dtype) if dtype else nullcontext():
        logits = model(clips)
    F.cross_entropy(logits.float(), targets).backward()
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]  # some are of an auxiliary loss alone
    return logits.detach().double(), torch.cat(grads).double()


def passes_of(model, dtype, record, chunks):
    """The results, gradients and running moments of six steps of `chunks` passes, as a training makes them."""
    torch.backends.cudnn.deterministic = True
    model, precision = copy.deepcopy(model).train(), Precision("cuda", dtype)
    said = []
    passes = RecordedPasses(model, CUDA, precision, precision.scaler(), record, said.append)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    torch.cuda.manual_seed(0)
    clips = torch.randn(6, 8, 3, 16, 25, 2, generator=torch.Generator().manual_seed(0))
    results = []
    for own in clips.pin_memory():
        optimizer.zero_grad(set_to_none=True)
        results += [passes.run(part, torch.arange(8 // chunks), chunks) for part in own.split(8 // chunks)]
        passes.scaler.step(optimizer)
        passes.scaler.update()
    assert passes.recording == record and not said
    assert (passes._recorded is not None) == record
    gradients = {f"{name}.grad": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return torch.stack(results), {**model.state_dict(), **gradients}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=["tf32", "bf16", "fp16"])
@pytest.mark.parametrize(("friendly", "chunks"), [(False, 1), (False, 2), (True, 1)])
def test_a_recorded_pass_is_the_pass_to_the_bit(model, dtype, friendly, chunks):
    allow_tf32(CUDA)
    model.set_memory_friendly(friendly)
    (plain_results, plain_state), (results, state) = (passes_of(model, dtype, record, chunks)
                                                      for record in (False, True))
    torch.testing.assert_close(results, plain_results, rtol=0, atol=0)
    for name in state:  # fp16 may overflow, then both have the same NaN
        torch.testing.assert_close(state[name], plain_state[name], rtol=0, atol=0, equal_nan=True, msg=name)


class Asks(nn.Module):
    """A model that waits for a result, which cannot be recorded."""

    capturable = True

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 16 * 25 * 2, 4)

    def forward(self, clips):
        return self.fc(clips.flatten(1)) * (2.0 if clips.sum().item() > 0 else 1.0)


def test_what_cannot_be_recorded_goes_on_without():
    model, precision, said, stream = Asks().to(CUDA), Precision("cuda"), [], torch.cuda.current_stream()
    passes = RecordedPasses(model, CUDA, precision, precision.scaler(), True, said.append)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(6):
        optimizer.zero_grad(set_to_none=True)
        result = passes.run(torch.randn(4, 3, 16, 25, 2), torch.arange(4), 1)
        optimizer.step()
    assert torch.isfinite(result).all()
    assert torch.cuda.current_stream() == stream
    assert torch.randn(2, device=CUDA).isfinite().all()  # the generator does not believe in a recording
    assert len(said) == 1 and "could not be recorded" in said[0] and "going on without" in said[0]


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


def test_in_double_precision_ours_is_the_reference(pair):
    clips = torch.randn(4, 3, 33, 25, 2, device=CUDA, dtype=torch.float64)
    found, expected = (step(model.double(), clips) for model in pair)
    assert all(off_by(ours, reference) < 1e-9 for ours, reference in zip(found, expected, strict=True))


@pytest.mark.usefixtures("full_precision")
def test_what_tf32_costs_coordinates(pair, monkeypatch):
    """Clips whose joints move by millimetres, in each format that a run may use, and in TF32 behind exact coordinates.

    Where a model keeps coordinates in fp32 under bf16, these are TF32's in a run: it loses less than bf16 all the same.
    """
    ours, plain = pair
    clips = torch.randn(8, 3, 1, 25, 2) + torch.randn(8, 3, 64, 25, 2).mul(MILLIMETRES).cumsum(dim=2)
    clips = clips.to(CUDA)
    exact = step(plain.double(), clips.double())
    errors = {}
    for name, tf32, dtype in (("fp32", False, None), ("tf32", True, None), ("bf16", False, torch.bfloat16),
                              ("tf32, exact coordinates", True, None)):
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
        if "exact" in name and not keep_coordinates_exact(ours):
            continue
        errors[name] = [off_by(found, truth) for found, truth in zip(step(ours, clips, dtype), exact, strict=True)]
        logits, gradients = errors[name]
        print(f"{type(ours).__module__}, {name}: logits off by {logits:.2e}, gradients by {gradients:.2e}")
    assert errors["fp32"][0] <= errors["tf32"][0] <= errors["bf16"][0]  # gradients cancel, and are told only


def keep_coordinates_exact(model):
    """Have MS-G3D's aggregations of coordinates multiply in fp32 in the forward pass; return how many there are."""

    def exact(aggregate, x, *others):
        if x.shape[1] > 3:
            return aggregate(x, *others)
        torch.set_float32_matmul_precision("highest")
        try:
            return aggregate(x, *others)
        finally:
            torch.set_float32_matmul_precision("high")

    aggregations = [part for part in model.modules() if hasattr(part, "_aggregate")]
    for part in aggregations:
        part._aggregate = functools.partial(exact, part._aggregate)
    return len(aggregations)


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


def test_more_products_than_a_grid_has_rows():
    """ST-GCN++ multiplies a matrix for each body and channel: of 160 clips more than 65,535."""
    if torch.cuda.get_device_properties(CUDA).total_memory < 20e9:
        pytest.skip("needs a GPU of 20 GB")
    dotted, arguments = MODELS["ST-GCN"]
    with open_tree("ST-GCN") as tree:
        model = tree.load(dotted)(**arguments).to(CUDA)
    _, gradient = step(model, torch.randn(160, 3, 100, 25, 2, device=CUDA))
    assert gradient.isfinite().all()
