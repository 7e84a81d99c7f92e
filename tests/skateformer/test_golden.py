"""SkateFormer: the published model's keys, outputs, gradients and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skeleton_lab.export.reference import inference_form
from tests import golden_models
from tests.golden_models import assert_close, fill_golden, load_golden


@pytest.fixture(scope="module", params=["skateformer_ntu", "skateformer_ucla"])
def golden(request):
    return load_golden(request.param)


@pytest.fixture(scope="module")
def small():
    return load_golden("skateformer_ucla")


def filled(tree, golden):
    """A golden model, filled, float64."""
    return fill_golden(tree.load(golden.model)(**golden.model_args).double())


@pytest.fixture
def built(tree, golden):
    return filled(tree, golden)


def test_structure_and_a_training_pass(built, golden):
    golden_models.check_structure(built, golden)
    golden_models.check_training_pass(built, golden)


def test_eval_logits_of_both_forms_at_both_kinds_of_positions(built, golden):
    positions = torch.from_numpy(golden.figures["frame_index"])
    golden_models.check_eval_logits(built, golden)
    with torch.no_grad():
        for form in (built.eval(), inference_form(built, golden.model_args)):
            assert_close(form(golden.clips(), positions), golden.figures["index_logits"], 1e-8)
    assert not np.allclose(golden.figures["index_logits"], golden.figures["eval_logits"], rtol=1e-6)


def test_a_training_pass_of_the_equations(tree, small):
    form = inference_form(filled(tree, small), small.model_args).requires_grad_(True)
    golden_models.check_structure(form, small)
    golden_models.check_training_pass(form, small)


def test_sgd_losses_and_single_precision(tree, small):
    golden_models.check_sgd_losses(filled(tree, small), small)
    golden_models.check_float32_training_logits(filled(tree, small).float(), small)
