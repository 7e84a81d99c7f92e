"""CTR-GCN's fused operators: gradients against differences, memory-friendly training, mixed precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from tests.golden_models import fill_golden

ARGUMENTS = {"graph": "graph.ucla.Graph", "num_point": 20, "num_person": 1, "num_class": 10}


@pytest.fixture
def model(tree):
    """A filled float64 CTR-GCN for NW-UCLA."""
    return fill_golden(tree.load("model.ctrgcn.Model")(**ARGUMENTS).double())


def clips(n: int = 2, frames: int = 8, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(n, 3, frames, 20, 1, generator=torch.Generator().manual_seed(1), dtype=dtype)


def gradients(model, x):
    """Logits and every parameter's gradient of one training pass."""
    model.zero_grad()
    logits = model.train()(x)
    F.cross_entropy(logits.float(), torch.arange(len(x))).backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters()}


def aggregation_inputs(s=2, c_in=3, c_out=4, r=2, v=3, t=2, b=3):
    generator = torch.Generator().manual_seed(0)
    shapes = [(b, c_in, v, t), (2 * s * r, c_in), (2 * s * r,), (c_out * s, c_in), (c_out * s,), (s, c_out, r),
              (s, c_out), (s, v, v)]
    return [torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True) for shape in shapes]


def test_aggregation_gradients(tree):
    function = tree.load("model.aggregation.RefinedAggregation")
    x, *weights = aggregation_inputs()
    assert torch.autograd.gradcheck(lambda x, *w: function.apply(x, False, *w), (x, *weights))


def test_aggregation_does_not_depend_on_the_chunks(tree, monkeypatch):
    module = tree.load("model.aggregation.RefinedAggregation").forward.__globals__
    function = module["RefinedAggregation"]
    x, *weights = aggregation_inputs(b=5)

    def run(chunk):
        monkeypatch.setitem(module, "body_chunks", lambda _: [slice(i, i + chunk) for i in range(0, 5, chunk)])
        out, mean, var = function.apply(x, True, *weights)
        return [out, mean, var, *torch.autograd.grad(out.square().sum(), [x, *weights])]

    for one, other in zip(run(2), run(5), strict=True):
        torch.testing.assert_close(one, other)


def test_memory_friendly_changes_nothing(model):
    friendly = copy.deepcopy(model)
    friendly.set_memory_friendly(True)
    (logits, grads), (friendly_logits, friendly_grads) = gradients(model, clips()), gradients(friendly, clips())
    torch.testing.assert_close(friendly_logits, logits)
    for name, grad in grads.items():
        torch.testing.assert_close(friendly_grads[name], grad, msg=name)
    for (key, ours), theirs in zip(friendly.state_dict().items(), model.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=key)
    assert friendly.l3.tcn1.branches[0][1].num_batches_tracked == 1


def kept_bytes(model, x) -> int:
    """Bytes that autograd keeps for the backward pass, each storage once, parameters left out."""
    kept = {}
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.train()(x).sum()
    return sum(size for size, _ in kept.values())


def test_keeps_less_than_its_reference(tree):
    arguments = {"graph": "graph.ntu_rgb_d.Graph"}
    fast = tree.load("model.ctrgcn.Model")(**arguments)
    plain = fast.reference(**arguments)
    x = torch.randn(1, 3, 64, 25, 2)
    reference = kept_bytes(plain, x)
    assert kept_bytes(fast, x) <= 0.40 * reference
    fast.set_memory_friendly(True)
    assert kept_bytes(fast, x) <= 0.06 * reference


@pytest.mark.parametrize("friendly", [False, True])
def test_bfloat16_autocast(model, friendly):
    some = clips(n=6, dtype=torch.float32)  # with two, one rounding more or less decides
    exact, exact_grads = gradients(model.float(), some)
    model.set_memory_friendly(friendly)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, grads = gradients(model, some)
    assert all(p.dtype == torch.float32 for p in grads.values())
    assert (logits.float() - exact).abs().max() < 0.15 * exact.abs().max()
    flat, exact_flat = (torch.cat([g.flatten() for g in side.values()]) for side in (grads, exact_grads))
    assert F.cosine_similarity(flat, exact_flat, dim=0) > 0.9


def test_folding_follows_the_weights(model):
    model.eval()
    with torch.no_grad():
        before = model(clips())
        model.l1.gcn1.bn.running_mean += 1
        after = model(clips())
        model.l1.gcn1.bn.running_mean -= 1
        torch.testing.assert_close(model(clips()), before)
    assert not torch.allclose(before, after)


def test_frozen_norms_train_with_their_running_moments(model):
    """`model.eval()` with gradients, as in fine-tuning: the folded path is differentiable."""
    model.eval()
    (model(clips()).sum()).backward()
    weight = model.l2.gcn1.convs[0].conv3.weight
    step = torch.zeros_like(weight)
    step.flatten()[0] = 1e-6
    with torch.no_grad():
        weight += step
        above = model(clips()).sum()
        weight -= 2 * step
        below = model(clips()).sum()
    assert weight.grad.flatten()[0].item() == pytest.approx(((above - below) / 2e-6).item(), rel=1e-4, abs=1e-6)


def test_max_pool_gives_ties_to_the_first(tree):
    from skeleton_lab.nn.temporal import BranchPlan, _max_pool_backward, max_pool_frames

    x = torch.tensor([1.0, 3.0, 3.0, 0.0, 3.0, 3.0]).view(1, 1, 6, 1)
    grad = torch.arange(1.0, 7.0).view(1, 1, 6, 1)
    for stride in (1, 2):
        plan = BranchPlan(5, (1, 2), stride, 2, False, 1e-5)
        twin = x.clone().requires_grad_()
        expected = F.max_pool2d(twin, (3, 1), (stride, 1), (1, 0))
        pooled = max_pool_frames(x, plan)
        assert torch.equal(pooled, expected)
        expected.backward(grad[:, :, :expected.shape[2]])
        assert torch.equal(_max_pool_backward(grad[:, :, :expected.shape[2]], x, plan), twin.grad)
