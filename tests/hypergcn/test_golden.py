"""Hyper-GCN: the published model's keys, outputs, gradients and losses, base and large."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests import golden_models
from tests.golden_models import assert_close, assert_each_close, fill_golden, load_golden

BASE, LARGE = "hypergcn_ntu", "hypergcn_ucla_large"


@pytest.fixture(scope="module", params=[BASE, LARGE])
def golden(request):
    return load_golden(request.param)


def build(tree, golden, model="model.hypergcn.Model"):
    """A golden model, filled, float64."""
    return fill_golden(tree.load(model)(**golden.model_args).double())


def test_structure_and_passes(tree, golden):
    model = build(tree, golden)
    golden_models.check_structure(model, golden)
    golden_models.check_eval_logits(model, golden)
    golden_models.check_training_pass(model, golden)


def test_reference(tree):
    """Of the large one, which has smaller clips; the fast form is compared with it elsewhere."""
    golden = load_golden(LARGE)
    golden_models.check_reference(build(tree, golden), golden)


def test_losses_of_a_few_steps(tree):
    """Of the large one; then with what the recipe adds to cross-entropy."""
    golden = load_golden(LARGE)
    losses = golden_models.sgd_losses(build(tree, golden), golden, steps=2)
    assert_each_close(losses, golden.figures["sgd_losses"][:2], 1e-6)
    model = build(tree, golden)
    losses = golden_models.sgd_losses(model, golden, 2, lambda logits, targets: F.cross_entropy(
        logits, targets, label_smoothing=0.1) + model.auxiliary_loss())
    assert_each_close(losses, golden.figures["recipe_losses"][:2], 1e-6)


def test_the_divergence_loss(tree, golden):
    model = build(tree, golden)
    loss = model.auxiliary_loss()
    assert_close(loss.item(), golden.figures["h_loss"], 1e-12)
    points = [getattr(model, f"l{number}").gcn1.hyper_joint for number in range(1, 10)]
    norms = [gradient.norm().item() for gradient in torch.autograd.grad(loss, points)]
    assert_each_close(norms, golden.figures["h_grad_norms"], 1e-8)


def test_float32_training_logits(tree):
    """Distances are differences: as products of matrices they would be 3e-4 off."""
    golden = load_golden(BASE)
    golden_models.check_float32_training_logits(build(tree, golden).float(), golden)
