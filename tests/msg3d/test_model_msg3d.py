"""MS-G3D against golden figures, an independent formula and its reference."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from skeleton_lab.errors import UserError
from tests.golden_models import (
    check_eval_logits,
    check_float32_training_logits,
    check_reference,
    check_sgd_losses,
    check_structure,
    check_training_pass,
    fill_golden,
    load_golden,
)

GOLDEN = ("msg3d_ntu", "msg3d_kinetics")
NTU = {"num_class": 60, "num_point": 25, "num_person": 2, "num_gcn_scales": 13, "num_g3d_scales": 6,
       "graph": "graph.ntu_rgb_d.AdjMatrixGraph"}
KINETICS = {"num_class": 400, "num_point": 18, "num_person": 2, "num_gcn_scales": 8, "num_g3d_scales": 8,
            "graph": "graph.kinetics.AdjMatrixGraph"}


def named(name):
    """Return a message maker for `torch.testing.assert_close` that puts `name` in front."""
    return lambda text: f"{name}: {text}"


@pytest.fixture(params=GOLDEN)
def golden(request):
    return load_golden(request.param)


@pytest.fixture
def build(tree):
    def build_model(**overrides):
        return tree.load("model.msg3d.Model")(**{**NTU, **overrides})

    return build_model


@pytest.fixture
def filled(tree, golden):
    return fill_golden(tree.load(golden.model)(**golden.model_args).double())


def test_structure(tree, golden):
    check_structure(tree.load(golden.model)(**golden.model_args), golden)


@pytest.mark.parametrize(("overrides", "count"), [({}, 3_194_595), ({"num_class": 120}, 3_217_695),
                                                  (KINETICS, 3_144_328)])
def test_parameter_counts(build, overrides, count):
    model = build(**overrides)
    assert sum(p.numel() for p in model.parameters()) == count
    assert len(model.state_dict()) == 810
    assert len(list(model.parameters())) == 459


def test_evaluation_logits(filled, golden):
    check_eval_logits(filled, golden)


def test_training_pass(filled, golden):
    check_training_pass(filled, golden)


def test_steps_of_sgd(filled, golden):
    check_sgd_losses(filled, golden)


def test_float32_training_logits(filled, golden):
    check_float32_training_logits(filled.float(), golden)


def arithmetic_tensor(key, shape, position):
    """A second way to fill a model: values by a modular formula, no random numbers."""
    flat = torch.arange(math.prod(shape), dtype=torch.float64)
    u = ((7 * flat**2 + 31 * flat + 101 * position) % 1009 / 1009 - 0.5).view(shape)
    part = key.rpartition(".")[2]
    if part == "num_batches_tracked":
        return torch.zeros(shape)
    if part == "running_var":
        return 1 + 0.4 * u
    if len(shape) >= 2:
        return 4 * u / math.sqrt(math.prod(shape[1:]))
    if part == "weight":
        return 1 + 0.4 * u
    return 0.2 * u  # biases and running means


def test_reference(filled, golden):
    check_reference(filled, golden)


@pytest.mark.parametrize(("overrides", "first", "second", "total"), [
    ({}, [32.939106, 1.282520, 27.018767, 25.324802], [32.369020, 1.364424, 26.712552, 25.095467], 1636.4955),
    (KINETICS, [33.642076, 1.285096, 11.049454, 28.743757], [34.382637, 1.470907, 11.185383, 29.099950], 9886.6241),
])
def test_logits_of_arithmetic_weights(build, overrides, first, second, total):
    model = build(**overrides).double().eval()
    state = model.state_dict()
    model.load_state_dict({key: arithmetic_tensor(key, tuple(state[key].shape), position)
                           for position, key in enumerate(sorted(state))})
    shape = (2, 3, 20, {**NTU, **overrides}["num_point"], 2)
    n, c, t, v, m = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) for size in shape], indexing="ij")
    with torch.no_grad():
        logits = model(torch.sin(0.1 * (t + 1) * (c + 1) + 0.2 * v + 0.5 * m + 0.3 * n))
    expected = torch.tensor([first, second], dtype=torch.float64)
    torch.testing.assert_close(logits[:, :4], expected, rtol=0, atol=1e-5)
    assert logits.sum().item() == pytest.approx(total, abs=1e-3)


def test_adjacency_is_not_part_of_the_state(build):
    model = build()
    buffers = dict(model.named_buffers())
    constants = [name for name in buffers if name not in model.state_dict()]
    assert len(constants) == 9  # three graph convolutions over joints, six over windows
    assert all(buffers[name].dtype == torch.float32 for name in constants)
    doubled = dict(build().double().named_buffers())
    for name in constants:
        assert torch.equal(doubled[name], buffers[name].double())  # the single-precision values, cast


def test_initialisation(build):
    torch.manual_seed(0)
    model = build()
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)):
            bound = 1 / math.sqrt(module.weight[0].numel())
            for drawn in (module.weight, module.bias):
                assert drawn.abs().max() <= bound, name
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1), name
        elif isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            assert (module.eps, module.momentum) == (1e-5, 0.1), name
            assert (module.weight == 1).all() and (module.bias == 0).all(), name
    for name, parameter in model.named_parameters():
        if name.endswith("A_res"):
            assert parameter.abs().max() <= 1e-6, name
            assert parameter.std().item() == pytest.approx(1e-6 / math.sqrt(3), rel=0.1), name
            assert parameter.mean().abs().item() < 1e-7, name


@pytest.fixture
def pair(build):
    """Return a function that builds the model and its reference, same weights, in double precision."""

    def build_pair(**overrides):
        options = {**NTU, "num_class": 7, **overrides}
        model = build(**options).double()
        plain = model.reference(**options).double()
        with torch.no_grad():  # away from the tiny start of A_res
            for name, parameter in model.named_parameters():
                if name.endswith("A_res"):
                    parameter.add_(0.02 * torch.randn_like(parameter))
        plain.load_state_dict(model.state_dict())
        return model, plain

    return build_pair


@pytest.mark.parametrize("overrides", [
    {},
    {"num_person": 1, "num_gcn_scales": 3, "num_g3d_scales": 2},
    {"graph": KINETICS["graph"], "num_point": 18, "num_gcn_scales": 2, "num_g3d_scales": 1},
    {"in_channels": 6, "num_gcn_scales": 2, "num_g3d_scales": 2},
    {"in_channels": 1, "num_gcn_scales": 1, "num_g3d_scales": 1},
])
@pytest.mark.parametrize("num_frames", [1, 9, 16])
def test_against_the_reference(pair, overrides, num_frames):
    """Logits, gradients and running statistics; odd lengths, other coordinates, other numbers of scales."""
    torch.manual_seed(1)
    model, plain = pair(**overrides)
    shape = (2, overrides.get("in_channels", 3), num_frames, overrides.get("num_point", 25),
             overrides.get("num_person", 2))
    clips = torch.randn(shape, dtype=torch.float64)
    gradients = []
    for each in (model, plain):
        each.train()
        own = clips.clone().requires_grad_()
        F.cross_entropy(each(own), torch.arange(2)).backward()
        gradients.append({"clips": own.grad, **{name: p.grad for name, p in each.named_parameters()}})
    ours, theirs = gradients
    largest = max(gradient.abs().max() for gradient in theirs.values())
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-6, atol=1e-9 * largest.item(), msg=named(name))
    for (name, buffer), reference in zip(model.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(buffer, reference, msg=named(name))
    for each in (model.eval(), plain.eval()):
        each.logits = each(clips).detach()
    torch.testing.assert_close(model.logits, plain.logits)


def test_accumulated_step_equals_one_large_step(build):
    """Chunks of a batch, losses divided by their number: the gradient of the whole batch, BatchNorm in eval mode."""
    torch.manual_seed(2)
    model = build(num_class=5, num_gcn_scales=3, num_g3d_scales=2).double().eval()
    clips = torch.randn(8, 3, 8, 25, 2, dtype=torch.float64)
    labels = torch.arange(8) % 5
    gradients = []
    for chunk in (8, 2):
        model.zero_grad()
        for part, part_labels in zip(clips.split(chunk), labels.split(chunk), strict=True):
            (F.cross_entropy(model(part), part_labels) / (8 // chunk)).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    whole, accumulated = gradients
    for name, gradient in whole.items():
        torch.testing.assert_close(accumulated[name], gradient, rtol=1e-8, atol=1e-12, msg=named(name))


def test_the_graph_must_fit(build):
    with pytest.raises(UserError, match="has 18 joints, num_point is 25"):
        build(graph="graph.kinetics.AdjMatrixGraph")
    with pytest.raises(UserError, match=r"no module named 'graph\.nowhere'"):
        build(graph="graph.nowhere.AdjMatrixGraph")


def test_clips_must_fit(build):
    model = build(num_gcn_scales=1, num_g3d_scales=1)
    with pytest.raises(UserError, match="do not fit"):
        model(torch.zeros(1, 3, 8, 18, 2))
    with pytest.raises(UserError, match="5 axes"):
        model(torch.zeros(1, 3, 8, 25))
