"""ProtoGCN: the fast formulation against the paper's equations, its class memory, its size, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from tests.tree_cases import assert_exports, assert_head, assert_one_line, random_clips, scrambled

NUM_CLASS = 5
SMALL = {"num_class": NUM_CLASS, "num_prototype": 7, "blocks": [[24, 1], [48, 2], [48, 1]]}


def scrambled_pair(tree, **changes):
    """The model and its reference, float64, with the same random weights, running moments and class memory."""
    model = tree.load("model.protogcn.Model")(**SMALL, **changes)
    model, plain = scrambled(model, model.reference(**SMALL, **changes))
    plain.csc_loss.avg_f.copy_(model.csc_loss.avg_f)
    return model, plain


def gradients(model: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The logits, and the gradients of clips and parameters; in training of the whole loss, with one clip right."""
    x = x.clone().requires_grad_()
    torch.manual_seed(3)  # of what dropout leaves out
    logits = model(x)
    labels = logits.detach().argmax(dim=1)
    labels[1:] = (labels[1:] + 1) % NUM_CLASS
    loss = F.cross_entropy(logits, labels)
    if model.training:
        loss = loss + model.auxiliary_loss(logits, labels)
    wanted = {"clips": x, **dict(model.named_parameters())}
    return logits, list(torch.autograd.grad(loss, list(wanted.values()), allow_unused=not model.training))


@pytest.mark.parametrize("memory_friendly", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_training_step_is_the_equations(tree, memory_friendly, chunked, monkeypatch):
    import model.aggregation  # the tree's, which is open

    if chunked:
        monkeypatch.setattr(model.aggregation, "body_chunks", lambda x: [slice(0, 3), slice(3, len(x))])
    ours, plain = scrambled_pair(tree)
    ours.set_memory_friendly(memory_friendly)
    if chunked and memory_friendly:
        for model_ in (ours, plain):
            model_.gcn[1].tcn.eval()  # as a part that is frozen
    logits, ours_gradients = gradients(ours, random_clips())
    expected, plain_gradients = gradients(plain, random_clips())
    torch.testing.assert_close(logits, expected, rtol=1e-8, atol=1e-8)
    for name, mine, theirs in zip(["clips", *dict(ours.named_parameters())], ours_gradients, plain_gradients,
                                  strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}")
    assert sum(gradient.abs().max() > 1e-5 for gradient in ours_gradients) > len(ours_gradients) / 2
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-8, atol=1e-8, msg=key)
    torch.testing.assert_close(ours.csc_loss.avg_f, plain.csc_loss.avg_f, rtol=1e-8, atol=1e-8)


def test_evaluation_is_the_equations(tree):
    ours, plain = (model.eval() for model in scrambled_pair(tree))
    with torch.no_grad():
        torch.testing.assert_close(ours(random_clips()), plain(random_clips()), rtol=1e-8, atol=1e-8)
        assert ours.graphs is None  # only training needs them
    logits, ours_gradients = gradients(ours, random_clips())  # weights can be trained with the norms frozen
    _, plain_gradients = gradients(plain, random_clips())
    assert logits.requires_grad
    for mine, theirs in zip(ours_gradients, plain_gradients, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)


def test_the_class_memory(tree):
    """A class moves by the mean of its right clips; the memory of others, and of wrong ones, stays."""
    memory = tree.load("model.class_memory.ClassMemory")(4, 3).double()
    before, graphs = memory.avg_f.clone(), torch.randn(4, 4, dtype=torch.float64)
    labels = torch.tensor([2, 2, 0, 1])
    logits = F.one_hot(torch.tensor([2, 2, 1, 0]), 3).double()  # the last two are wrong
    loss = memory(graphs, logits, labels)
    features = memory.cl_fc(graphs).detach().numpy()
    expected = before.clone().numpy()
    expected[:, 2] = 0.9 * expected[:, 2] + 0.1 * features[:2].mean(axis=0)
    np.testing.assert_allclose(memory.avg_f, expected)
    cosines = features @ expected / np.linalg.norm(features, axis=1)[:, None] / np.linalg.norm(expected, axis=0)
    np.testing.assert_allclose(loss.item(), F.cross_entropy(torch.from_numpy(cosines / 0.125), labels).item())
    assert not memory.avg_f.requires_grad and "avg_f" not in memory.state_dict()


def test_a_kept_graph_is_gone_once_it_is_asked_for(tree):
    model = tree.load("model.protogcn.Model")(**SMALL)
    logits = model(random_clips().float())
    assert model.graphs.shape == (2, 625)
    model.auxiliary_loss(logits, torch.tensor([0, 1]))
    assert model.graphs is None


@pytest.mark.parametrize("memory_friendly", [False, True])
def test_half_precision_is_close(tree, memory_friendly):
    torch.manual_seed(4)
    model = tree.load("model.protogcn.Model")(**SMALL)
    model.set_memory_friendly(memory_friendly)
    x, labels = random_clips(4).float(), torch.arange(4)
    exact = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
        auxiliary = model.auxiliary_loss(half, labels)
    assert (half.float() - exact).abs().max() < 0.1 * exact.abs().max()
    (F.cross_entropy(half.float(), labels) + auxiliary).backward()
    assert auxiliary.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_the_head_is_the_classifier_of_the_features(tree):
    assert_head(tree.load("model.protogcn.Model")(**SMALL).double().eval(), width=48)


def test_exports_with_batch_and_length_open(tree):
    assert_exports(scrambled_pair(tree)[0].float().eval(), SMALL)


@pytest.mark.parametrize(("arguments", "count"), [
    ({"num_prototype": 400}, 4_344_860), ({}, 4_114_460), ({"num_class": 120, "num_prototype": 400}, 4_367_960),
    ({"num_class": 120}, 4_137_560)])
def test_sizes_are_the_published_ones(tree, arguments, count):
    with torch.device("meta"):
        model = tree.load("model.reference.Model")(**arguments)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_one_frame_and_fewer_joints(tree):
    model = tree.load("model.protogcn.Model")(**SMALL, num_point=20, num_person=1)
    assert model(torch.randn(2, 3, 1, 20, 1)).shape == model(torch.randn(2, 3, 1, 20, 3)).shape == (2, NUM_CLASS)


def test_all_blocks_begin_with_one_random_topology(tree):
    np.random.seed(7)
    model = tree.load("model.protogcn.Model")(**SMALL)
    np.random.seed(7)
    drawn = torch.as_tensor(0.04 + 0.02 * np.random.randn(8, 25, 25)).float()
    assert all(torch.equal(block.gcn.A, drawn) for block in model.gcn)
    assert len({block.gcn.A.data_ptr() for block in model.gcn}) == len(model.gcn)
    assert all(not part.any() for block in model.gcn for part in (block.gcn.alpha, block.gcn.beta, block.tcn.add_coeff))


@pytest.mark.parametrize(("changes", "message"), [
    ({"num_point": 26}, "up to 25 joints"), ({"num_prototype": 0}, "num_prototype=0"),
    ({"blocks": [[32, 1]]}, "multiple of 24"), ({"blocks": [3]}, "plan of blocks"), ({"num_class": "x"}, "num_class")])
def test_bad_arguments_are_one_line(tree, changes, message):
    assert_one_line(tree.load("model.protogcn.Model"), {**SMALL, **changes}, message)


def test_clips_of_another_skeleton_are_refused(tree):
    with pytest.raises(UserError, match="check num_point"):
        tree.load("model.protogcn.Model")(**SMALL)(random_clips(joints=20).float())
