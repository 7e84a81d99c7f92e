"""BlockGCN: the fast formulation against the equations, its size, its shapes, what it refuses."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from skeleton_lab.nn.model import export_note_of
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


@pytest.fixture
def few_blocks(tree, monkeypatch):
    """Three blocks in place of ten, of all kinds; the golden figures are those of ten."""
    monkeypatch.setattr(importlib.import_module("model.reference"), "PLAN", ((128, 1), (256, 2), (256, 1)))


def scrambled_pair(tree, **options):
    """The model and its reference, float64, with the same random weights and running moments."""
    model = tree.load("model.blockgcn.Model")(**{**NTU, **options})
    return scrambled(model, model.reference(**{**NTU, **options}))


def gradients(model: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The logits, and the gradients of a loss with respect to the clips and all parameters."""
    x = x.clone().requires_grad_()
    logits = model(x, x.detach().square())  # positions that are not the clips
    loss = F.cross_entropy(logits, torch.arange(len(x)) % NUM_CLASS)
    return logits, list(torch.autograd.grad(loss, [x, *model.parameters()]))


@pytest.mark.parametrize(("memory_friendly", "options"), [
    (False, {}), (True, {"fix_topology": True, "clip_topology": True, "alpha": True})])
def test_a_training_step_is_the_equations(tree, few_blocks, memory_friendly, options,
                                         monkeypatch):
    import model.aggregation  # the tree's, which is open

    monkeypatch.setattr(model.aggregation, "CACHE_BYTES", 1 << 18)  # several bodies at a time, and a rest
    ours, plain = scrambled_pair(tree, **options)
    ours.set_memory_friendly(memory_friendly)
    if memory_friendly:
        for model in (ours, plain):
            model.l1.tcn1.eval(), model.l2.gcn1.eval()  # as parts that are frozen
    assert_same_step(ours, plain, random_clips(3), gradients)


def test_evaluation_is_the_equations(tree, few_blocks):
    assert_same_evaluation(*scrambled_pair(tree), random_clips(3), gradients)


@pytest.mark.parametrize("with_bias", [False, True])
def test_aggregation_gradients(tree, with_bias):
    operator = tree.load("model.aggregation.GroupedAggregation")
    generator = torch.Generator().manual_seed(3)
    shapes = ((3, 4, 3, 5), (3, 4), (2, 6, 3), (2, 3, 4), (6,))  # x (B, C, V, T), bias, topology, weight, offset
    x, bias, *others = [torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
                        for shape in shapes]
    bias = bias if with_bias else None

    def apply(*tensors):
        inputs = x if bias is None else x + bias[:, :, None, None]
        return operator.apply(inputs, x.detach(), bias if bias is None else bias.detach(), *tensors[2:])[0]

    assert torch.autograd.gradcheck(apply, (x, bias, *others))


def test_half_precision_is_close(tree, few_blocks):
    torch.manual_seed(4)
    assert_half_is_close(tree.load("model.blockgcn.Model")(**NTU), random_clips(4, 4).float())


def test_the_head_is_the_classifier_of_the_features(tree):
    assert_head(tree.load("model.blockgcn.Model")(**NTU, drop_out=0.5).double().eval())


def test_exports_with_batch_and_length_open(tree, few_blocks):
    assert_exports(scrambled_pair(tree)[0].float().eval(), NTU)


def test_size_and_shapes(tree):
    ucla = {"num_class": 10, "num_point": 20, "num_person": 1, "graph": "graph.ucla.Graph"}
    assert_size(tree.load("model.blockgcn.Model"), 1_372_780, (ucla, (2, 3, 13, 20, 1)))


def test_topologies_start_as_joints_themselves(tree):
    unit = tree.load("model.blockgcn.Model")(**NTU).l1.gcn1
    torch.testing.assert_close(unit.topologies(), torch.eye(25).expand(3, 8, -1, -1) / (1 + 1e-4))
    assert unit.rpe.shape == (3, 8, 12)


def test_the_option_alpha_adds_a_tensor_that_is_never_trained(tree):
    arguments = {**NTU, "alpha": True, "adaptive": True, "num_set": 3, "window_size": 64, "joint_label": [0]}
    model = tree.load("model.blockgcn.Model")(**arguments)
    assert model.state_dict()["l3.gcn1.alpha"].shape == (1, 8, 1, 1, 1)
    assert not any(name.endswith("alpha") for name, _ in model.named_parameters())


@pytest.mark.parametrize(("options", "depends"), [
    ({}, True), ({"clip_topology": True}, True), ({"fix_topology": True}, True),
    ({"fix_topology": True, "clip_topology": True}, False)])
def test_logits_that_depend_on_the_batch_are_said_at_export(tree, few_blocks, options, depends):
    model = scrambled_pair(tree, **options)[1].eval()
    clips = random_clips(3, 4)
    alone, together = (model(x, x.square())[:1] for x in (clips[:1], clips))
    assert ((alone - together).abs().max() > 1e-6 * alone.abs().max()) == depends
    assert ("one clip at a time" in export_note_of(model)) == depends


def test_clips_stand_for_positions_that_are_not_given(tree):
    model = tree.load("model.blockgcn.Model")(**NTU).double().eval()
    assert torch.equal(model(random_clips()), model(random_clips(), random_clips()))
    assert not torch.equal(model(random_clips()), model(random_clips(), random_clips()**2))


@pytest.mark.parametrize(("changes", "message"), [
    ({"graph": None}, "'graph' is missing"), ({"num_point": 20}, "num_point is 20"),
    ({"graph_args": {"labeling_mode": "distance"}}, "distance"), ({"graph": "graph.nowhere.Graph"}, "graph.nowhere"),
])
def test_bad_arguments_are_one_line(tree, changes, message):
    assert_one_line(tree.load("model.blockgcn.Model"), {**NTU, **changes}, message)


def test_clips_of_another_skeleton_are_refused(tree):
    with pytest.raises(UserError, match="25 joints and 2 bodies"):
        tree.load("model.blockgcn.Model")(**NTU)(torch.zeros(1, 3, 4, 20, 2))
