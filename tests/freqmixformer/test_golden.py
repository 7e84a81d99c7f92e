"""FreqMixFormer: the published model's keys, outputs, gradients and losses."""

from __future__ import annotations

import pytest

from tests import golden_models
from tests.golden_models import fill_golden, load_golden

UNUSED = ("Spa_Att.bn", "branches.4.0.bn")  # held for the checkpoints' sake


def build(tree, golden):
    """A golden model, filled, float64."""
    return fill_golden(tree.load(golden.model)(**golden.model_args).double())


@pytest.mark.parametrize("name", ["freqmixformer_ntu", "freqmixformer_ucla"])
def test_the_published_figures(tree, name):
    golden = load_golden(name)
    model = build(tree, golden)
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert list(shapes) == list(golden.state_shapes) and shapes == golden.state_shapes
    assert sum(p.numel() for p in model.parameters()) == int(golden.figures["params"])
    golden_models.check_eval_logits(model, golden)
    golden_models.check_training_pass(model, golden, UNUSED)


def test_longer_checks_of_the_shorter_clips(tree):
    golden = load_golden("freqmixformer_ucla")
    golden_models.check_sgd_losses(build(tree, golden), golden)
    golden_models.check_float32_training_logits(build(tree, golden).float(), golden)
