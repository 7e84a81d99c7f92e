"""CTR-GCN and its baseline: the published models' keys, outputs, gradients and losses."""

from __future__ import annotations

import pytest

from tests import golden_models
from tests.golden_models import fill_golden, load_golden


@pytest.fixture(scope="module", params=["ctrgcn_ntu", "ctrgcn_ucla", "baseline_ntu"])
def golden(request):
    return load_golden(request.param)


def build(tree, golden):
    """A golden model, filled, float64."""
    return fill_golden(tree.load(golden.model)(**golden.model_args).double())


def test_structure(tree, golden):
    golden_models.check_structure(build(tree, golden), golden)


def test_eval_logits(tree, golden):
    golden_models.check_eval_logits(build(tree, golden), golden)


def test_training_pass(tree, golden):
    golden_models.check_training_pass(build(tree, golden), golden)


def test_sgd_losses(tree, golden):
    golden_models.check_sgd_losses(build(tree, golden), golden)


def test_float32_training_logits(tree, golden):
    golden_models.check_float32_training_logits(build(tree, golden).float(), golden)


def test_reference(tree, golden):
    golden_models.check_reference(build(tree, golden), golden)
