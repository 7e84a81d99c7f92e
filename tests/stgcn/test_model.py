"""ST-GCN++: the fast formulation against the papers' equations, its size, its shapes, what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from tests.tree_cases import (
    assert_exports,
    assert_half_is_close,
    assert_head,
    assert_one_line,
    assert_same_evaluation,
    assert_same_step,
    assert_size,
    random_clips,
    scrambled,
)

NUM_CLASS = 5
NTU = {"num_class": NUM_CLASS, "graph": "graph.ntu_rgb_d.Graph"}


def scrambled_pair(tree):
    """The model and its reference, float64, with the same random weights and running moments."""
    model = tree.load("model.stgcn.Model")(**NTU)
    return scrambled(model, model.reference(**NTU))


def gradients(model: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The logits, and the gradients of a loss with respect to the clips and all parameters."""
    x = x.clone().requires_grad_()
    logits = model(x)
    loss = F.cross_entropy(logits, torch.arange(len(x)) % NUM_CLASS)
    return logits, list(torch.autograd.grad(loss, [x, *model.parameters()]))


@pytest.mark.parametrize("memory_friendly", [False, True])
def test_a_training_step_is_the_equations(tree, memory_friendly, monkeypatch):
    import model.aggregation  # the tree's, which is open

    monkeypatch.setattr(model.aggregation, "body_chunks", lambda x: [slice(0, 3), slice(3, len(x))])
    ours, plain = scrambled_pair(tree)
    ours.set_memory_friendly(memory_friendly)
    assert_same_step(ours, plain, random_clips(), gradients)


def test_evaluation_is_the_equations(tree):
    assert_same_evaluation(*scrambled_pair(tree), random_clips(), gradients)


def test_aggregation_gradients(tree):
    operator = tree.load("model.aggregation.SharedAggregation")
    generator = torch.Generator().manual_seed(3)
    shapes = ((3, 2, 4, 5), (3, 4, 4), (6, 6), (6, 4))  # x (B, C, V, T), topology, weight, offset
    arguments = [torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(lambda *tensors: operator.apply(*tensors)[0], arguments)


def test_half_precision_is_close(tree):
    torch.manual_seed(4)
    assert_half_is_close(tree.load("model.stgcn.Model")(**NTU), random_clips(4).float())


def test_the_head_is_the_classifier_of_the_features(tree):
    assert_head(tree.load("model.stgcn.Model")(**NTU, drop_out=0.5).double().eval())


def test_exports_with_batch_and_length_open(tree):
    assert_exports(scrambled_pair(tree)[0].float().eval(), NTU)


def test_size_and_shapes(tree):
    ucla = {"num_class": 10, "num_point": 20, "num_person": 1, "graph": "graph.ucla.Graph"}
    assert_size(tree.load("model.stgcn.Model"), 1_403_294, (ucla, (2, 3, 13, 20, 1)))


def test_topologies_start_as_the_skeletons(tree):
    model = tree.load("model.stgcn.Model")(**NTU)
    expected = torch.from_numpy(tree.load("graph.ntu_rgb_d.Graph")().A).float()
    for number in range(1, 11):
        topology = getattr(model, f"l{number}").gcn1.topology
        assert torch.equal(topology, expected) and topology.requires_grad
        assert topology.is_contiguous()  # NCCL takes no other


@pytest.mark.parametrize(("changes", "message"), [
    ({"graph": None}, "'graph' is missing"), ({"num_point": 20}, "num_point 20"),
    ({"graph_args": {"labeling_mode": "distance"}}, "distance"), ({"graph": "graph.nowhere.Graph"}, "graph.nowhere"),
])
def test_bad_arguments_are_one_line(tree, changes, message):
    assert_one_line(tree.load("model.stgcn.Model"), {**NTU, **changes}, message)


def test_clips_of_another_skeleton_are_refused(tree):
    with pytest.raises(UserError, match="20 joints"):
        tree.load("model.stgcn.Model")(**NTU)(torch.zeros(1, 3, 4, 20, 2))
