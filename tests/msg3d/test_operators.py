"""Each operator's hand-written gradients against finite differences, and what recomputation must not change."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

BODIES, FRAMES, JOINTS, SCALES = 2, 5, 3, 2
EPS = 1e-5
WINDOWS = [(1, 1), (3, 1), (3, 2), (5, 2)]  # (size, stride)


def double(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def load(tree):
    torch.manual_seed(0)
    return lambda name: tree.load(f"model.{name}")


def check_gradients(function, inputs, size):
    """Every derivative at the smallest size; sums of them with random weights at the others, which take minutes."""
    return torch.autograd.gradcheck(function, inputs, fast_mode=size > 1, atol=1e-7, rtol=1e-6)


def conv_inputs(window, c_in, c_out):
    """x, stack, weight, bias."""
    nodes = window * JOINTS
    return [double(BODIES, c_in, FRAMES, JOINTS), double(SCALES * nodes, nodes), double(c_out, SCALES * c_in),
            double(c_out)]


@pytest.fixture(params=["AggregateFirst", "MixFirst", "NarrowFirst"])
def order(request, load, monkeypatch):
    """Every order of contraction in turn, in pieces of one window."""
    chosen = load(f"contraction.{request.param}")
    monkeypatch.setitem(load("operators.contract").__globals__, "best_order", lambda *_: chosen)
    monkeypatch.setitem(chosen.pieces.__globals__, "PIECE_NUMBERS_CPU", 1)
    return chosen


@pytest.mark.parametrize(("size", "stride"), WINDOWS)
def test_window_graph_conv(load, order, size, stride):
    windows, function = load("windows.Windows")(size, stride), load("operators.WindowGraphConv")
    assert check_gradients(lambda *args: function.apply(*args, windows), conv_inputs(size, 3, 4), size)


@pytest.mark.parametrize(("size", "stride"), WINDOWS)
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(("name", "c_in", "c_out"), [("operators.WindowGraphConvNormRelu", 3, 4),
                                                     ("narrow.NarrowGraphConvNormRelu", 1, 4)])
def test_graph_conv_norm_relu(load, monkeypatch, name, c_in, c_out, mapped, size, stride):
    monkeypatch.setitem(load("contraction.NarrowFirst").pieces.__globals__, "PIECE_NUMBERS_CPU", 1)
    options = load("operators.ConvOptions")(load("windows.Windows")(size, stride), EPS)
    mapping = [double(5, size * c_out), double(5)] if mapped else [None, None]
    inputs = [*conv_inputs(size, c_in, c_out), double(c_out), double(c_out), *mapping]
    function = load(name)
    assert check_gradients(lambda *args: function.apply(*args, options)[0], inputs, size)


def test_norm(load):
    function = load("operators.Norm")
    assert torch.autograd.gradcheck(lambda *args: function.apply(*args, EPS)[0], [double(7, 3), double(3), double(3)])


@pytest.mark.parametrize("stride", [1, 2])
def test_strided_linear_norm(load, stride):
    shape = load("temporal_rows.TemporalShape")(FRAMES, JOINTS, stride, 1)
    function = load("temporal_rows.StridedLinearNorm")
    inputs = [double(FRAMES * JOINTS, 3), double(4, 3), double(4), double(4), double(4)]
    assert torch.autograd.gradcheck(lambda *args: function.apply(*args, shape, EPS)[0], inputs)


@pytest.mark.parametrize("frames", [1, 3, 6])
@pytest.mark.parametrize(("stride", "residual", "activation"), [(1, "identity", True), (1, "identity", False),
                                                                (2, "given", True), (1, None, True)])
def test_temporal_rows(load, frames, stride, residual, activation):
    width, dilations, joints = 2, (1, 2), 4
    shape = load("temporal_rows.TemporalShape")(frames, joints, stride, width)
    options = load("temporal_rows.BranchOptions")(shape, dilations, residual == "identity", activation, EPS)
    channels = width * (len(dilations) + 2)
    c_in = channels if residual == "identity" else 3
    given = double(shape.frames_out * joints, channels) if residual == "given" else None
    inputs = [double(frames * joints, c_in), given, double(channels + 4), double(channels, c_in),
              double(channels - width), double(channels - width), double(channels), double(channels),
              *(double(width, width, 3, 1) for _ in dilations)]
    function = load("temporal_rows.TemporalRows")
    assert check_gradients(lambda x, residual, *rest: function.apply(x, residual, options, *rest)[0], inputs, frames)


def test_pool_gives_ties_to_the_first(load):
    """Frames that repeat tie; the framework's pool lets the first have the gradient, and so does ours."""
    shape = load("temporal_rows.TemporalShape")(6, 1, 1, 1)
    active = torch.tensor([1.0, 1, 2, 2, 2, 0]).view(-1, 1)
    grad = torch.arange(1.0, 7).view(-1, 1)
    reference = active.clone().requires_grad_()
    pooled = F.max_pool2d(reference.view(1, 1, 6, 1), (3, 1), 1, (1, 0)).view(-1, 1)
    pooled.backward(grad)
    backward = load("temporal_rows._max_pool_backward")
    assert torch.equal(backward(grad.clone(), active, shape), reference.grad)


@pytest.fixture
def model(tree):
    torch.manual_seed(3)
    return tree.load("model.msg3d.Model")(5, 25, 2, 3, 2, "graph.ntu_rgb_d.AdjMatrixGraph").double()


def one_pass(model, clips):
    model.zero_grad()
    F.cross_entropy(model(clips), torch.arange(2)).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_memory_friendly_changes_nothing(model):
    """Same gradients and running moments, each batch counted once."""
    clips = torch.randn(2, 3, 12, 25, 2, dtype=torch.float64)
    start = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    results = []
    for friendly in (False, True):
        model.load_state_dict(start)
        model.set_memory_friendly(friendly)
        gradients = one_pass(model, clips)
        results.append({**gradients, **{key: tensor.clone() for key, tensor in model.named_buffers()}})
    usual, friendly = results
    for name, tensor in usual.items():
        torch.testing.assert_close(friendly[name], tensor, rtol=1e-9, atol=1e-12)
        if name.endswith("num_batches_tracked"):
            assert friendly[name] == 1


def kept_bytes(model, clips):
    kept = {}
    parameters = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model(clips)
    assert logits.requires_grad
    return sum(tensor.untyped_storage().nbytes() for pointer, tensor in kept.items() if pointer not in parameters)


def test_memory_friendly_keeps_a_fraction(model):
    clips = torch.randn(1, 3, 32, 25, 2, dtype=torch.float64)
    usual = kept_bytes(model, clips)
    model.set_memory_friendly(True)
    assert kept_bytes(model, clips) < 0.2 * usual


@pytest.mark.parametrize("friendly", [False, True])
def test_mixed_precision(model, friendly):
    """bfloat16 by autocast: gradients of the parameters' dtype, in the direction of single precision's."""
    model = model.float()
    clips = torch.randn(4, 3, 12, 25, 2)
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        model.set_memory_friendly(enabled and friendly)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = model(clips)
        F.cross_entropy(logits.float(), torch.arange(4)).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        assert all(p.grad.dtype == torch.float32 for p in model.parameters())
    assert F.cosine_similarity(*gradients, dim=0) > 0.9
