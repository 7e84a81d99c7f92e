"""Hyper-GCN: the fast formulation against its equations, its size, its shapes, its traps, what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from tests.tree_cases import assert_exports, assert_head, assert_one_line, random_clips, scrambled

NUM_CLASS = 5
NTU = {"num_class": NUM_CLASS, "graph": "graph.ntu_rgb_d.Graph", "hyper_joints": 3}
UCLA = {**NTU, "graph": "graph.ucla.Graph", "num_point": 20, "num_person": 1, "size": "large"}


def scrambled_pair(tree, arguments=NTU):
    """The model and its reference, float64, with the same random weights and running moments."""
    torch.manual_seed(0)
    model = tree.load("model.hypergcn.Model")(**arguments)
    return scrambled(model, model.reference(**arguments))


def gradients(model: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The logits, and the gradients of a loss with respect to the clips and all that is trained."""
    x = x.clone().requires_grad_()
    logits = model(x)
    loss = F.cross_entropy(logits, torch.arange(len(x)) % NUM_CLASS)
    trained = {"clips": x, **{name: p for name, p in model.named_parameters() if p.requires_grad}}
    return logits, dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, mine in ours.items():
        largest = theirs[name].abs().max().item() if theirs[name].numel() else 0
        torch.testing.assert_close(mine, theirs[name], rtol=1e-8, atol=1e-8 * max(1, largest),
                                   msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("arguments", "frames", "memory_friendly"), [
    (NTU, 9, True), (UCLA, 1, False), ({**NTU, "hyper_joints": 0, "num_person": 1}, 6, False)])
def test_a_training_step_is_the_equations(tree, arguments, frames, memory_friendly):
    ours, plain = scrambled_pair(tree, arguments)
    x = random_clips(2, frames, arguments.get("num_point", 25), arguments.get("num_person", 2))
    ours.set_memory_friendly(memory_friendly)
    logits, ours_gradients = gradients(ours, x)
    expected, plain_gradients = gradients(plain, x)
    torch.testing.assert_close(logits, expected, rtol=1e-8, atol=1e-8)
    assert_same(ours_gradients, plain_gradients)
    assert sum(bool((gradient.abs() > 1e-3).any()) for gradient in ours_gradients.values()) > len(ours_gradients) / 2
    assert_same(ours.state_dict(), plain.state_dict())


def test_evaluation_is_the_equations(tree):
    ours, plain = (model.eval() for model in scrambled_pair(tree))
    with torch.no_grad():
        torch.testing.assert_close(ours(random_clips()), plain(random_clips()), rtol=1e-8, atol=1e-8)
    logits, ours_gradients = gradients(ours, random_clips())  # weights can be trained with the norms frozen
    assert logits.requires_grad
    assert_same(ours_gradients, gradients(plain, random_clips())[1])


def test_half_precision_is_close(tree):
    torch.manual_seed(4)
    model = tree.load("model.hypergcn.Model")(**{**NTU, "independent_starts": True})
    x = random_clips(2).float()
    exact = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, loss = model(x), model.auxiliary_loss()
    assert (half.float() - exact).abs().max() < 0.1 * exact.abs().max()
    assert torch.equal(loss, model.auxiliary_loss())
    F.cross_entropy(half.float(), torch.arange(2)).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_the_head_is_the_classifier_of_the_features(tree):
    assert_head(tree.load("model.hypergcn.Model")(**NTU, drop_out=0.5).double().eval())


def test_exports_with_batch_and_length_open(tree, monkeypatch):
    """The stem, the head, and three blocks with all kinds of shortcuts: enough, and traced in less time."""
    import model.reference  # the tree's, which is open

    monkeypatch.setattr(model.reference, "STAGES", ((4, 5, 6),))
    assert_exports(scrambled_pair(tree)[0].float().eval(), NTU)


@pytest.mark.parametrize(("arguments", "trained", "constant"), [
    ({}, 1_041_677, 56_448), ({"size": "large"}, 2_305_293, 56_448), ({"num_class": 120}, 1_057_097, 56_448)])
def test_size(tree, arguments, trained, constant):
    model = tree.load("model.hypergcn.Model")(**{**NTU, "num_class": 60, **arguments})
    counts = [sum(p.numel() for p in model.parameters() if p.requires_grad is kind) for kind in (True, False)]
    assert counts == [trained, constant]


@pytest.mark.parametrize("size", ["base", "large"])
def test_published_names(tree, size):
    """Configs of the authors name a module for each size; it trains and exports as that size."""
    model = tree.load(f"model.hypergcn_{size}.Model")(**NTU, graph_args={"labeling_mode": "virtual_ensemble"})
    expected = tree.load("model.hypergcn.Model")(**NTU, size=size).state_dict()
    assert [(key, value.shape) for key, value in model.state_dict().items()] == [
        (key, value.shape) for key, value in expected.items()]
    model.reference(**NTU).load_state_dict(model.state_dict())


def test_virtual_joints_start_at_one_place_unless_told_otherwise(tree):
    """As published: the divergence loss is 1 then and has no gradient. Started apart, they have one."""
    torch.manual_seed(0)
    make = tree.load("model.hypergcn.Model")
    together, apart = make(**NTU), make(**NTU, independent_starts=True)
    for model, loss_range, moved in ((together, (0.9999, 1.0001), False), (apart, (0, 0.5), True)):
        points = [getattr(model, f"l{number}").gcn1.hyper_joint for number in range(1, 10)]
        loss = model.auxiliary_loss()
        largest = max(gradient.abs().max() for gradient in torch.autograd.grad(loss, points))
        assert loss_range[0] <= loss <= loss_range[1] and bool(largest > 1e-5) is moved
        assert torch.equal(points[0][0], points[0][1]) is not moved
    assert together(random_clips().float()).isfinite().all()  # ties of neighbours harm nothing


@pytest.mark.parametrize("hyper_joints", [0, 1])
def test_fewer_than_two_virtual_joints_have_no_divergence(tree, hyper_joints):
    model = tree.load("model.hypergcn.Model")(**{**NTU, "hyper_joints": hyper_joints})
    assert model.auxiliary_loss() == 0


def test_the_graph_is_a_constant_among_the_parameters(tree):
    model = tree.load("model.hypergcn.Model")(**NTU)
    expected = torch.from_numpy(tree.load("graph.ntu_rgb_d.Graph")(3).A).float()
    for number in range(1, 10):
        unit = getattr(model, f"l{number}").gcn1
        assert torch.equal(unit.PA, expected) and not unit.PA.requires_grad
        assert (unit.edge_importance == 1).all() and unit.alpha == 1 and (unit.bn.weight == 1e-6).all()


@pytest.mark.parametrize(("changes", "message"), [
    ({"graph": None}, "'graph' is missing"), ({"num_point": 20}, "num_point 20"), ({"size": "huge"}, "base or large"),
    ({"graph_args": {"labeling_mode": "spatial"}}, "spatial"), ({"graph": "graph.nowhere.Graph"}, "graph.nowhere"),
    ({"hyper_joints": -1}, "hyper_joints -1"), ({"hyper_joints": True}, "hyper_joints True")])
def test_bad_arguments_are_one_line(tree, changes, message):
    assert_one_line(tree.load("model.hypergcn.Model"), {**NTU, **changes}, message)


@pytest.mark.parametrize("shape", [(1, 3, 4, 20, 2), (1, 3, 4, 25, 1), (1, 2, 4, 25, 2), (1, 4, 75)])
def test_clips_of_another_shape_are_refused(tree, shape):
    with pytest.raises(UserError, match="clips"):
        tree.load("model.hypergcn.Model")(**NTU)(torch.zeros(shape))
