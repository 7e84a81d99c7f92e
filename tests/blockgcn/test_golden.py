"""BlockGCN: the published model's keys, outputs, gradients and losses, by the fast form and by the equations."""

from __future__ import annotations

import pytest

from tests import golden_models
from tests.golden_models import fill_golden, load_golden


@pytest.fixture(scope="module", params=["blockgcn_ntu", "blockgcn_ntu120"])
def golden(request):
    return load_golden(request.param)


def build(tree, golden):
    """A golden model, filled, float64."""
    return fill_golden(tree.load(golden.model)(**golden.model_args).double())


def test_the_published_figures(tree, golden):
    model = build(tree, golden)
    golden_models.check_structure(model, golden)
    golden_models.check_eval_logits(model, golden)
    golden_models.check_training_pass(model, golden)


def test_longer_checks_of_the_shorter_clips(tree):
    golden = load_golden("blockgcn_ntu120")
    golden_models.check_sgd_losses(build(tree, golden), golden)
    golden_models.check_float32_training_logits(build(tree, golden).float(), golden)
    golden_models.check_reference(build(tree, golden), golden)
