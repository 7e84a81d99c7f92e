"""ProtoGCN: the published model's keys, outputs, gradients and losses, its auxiliary loss and class memory too."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests import golden_models
from tests.golden_models import GRAD_NORM_FLOOR, assert_close, assert_each_close, fill_golden, load_golden


@pytest.fixture(scope="module", params=["protogcn_coco", "protogcn_ntu"])
def golden(request):
    return load_golden(request.param)


def build(tree, golden):
    """A golden model, filled, float64."""
    return fill_golden(tree.load(golden.model)(**golden.model_args).double())


def with_golden_memory(model):
    """Give the class memory, which is no part of the state dict, its golden values; leave no prototype out."""
    memory, rng = model.csc_loss.avg_f, np.random.default_rng(zlib.crc32(b"csc_loss.avg_f"))
    memory.copy_(torch.as_tensor(rng.standard_normal(tuple(memory.shape))))
    model.prn.dropout.p = 0.0
    return model


def check_auxiliary(model, golden) -> None:
    """The rebuilt graphs, the contrastive loss, all gradients with it, and the class memory afterwards."""
    figures = golden.figures
    model = with_golden_memory(model).train()
    model.csc_weight = float(figures["aux_weight"])
    labels = torch.as_tensor(figures["aux_labels"])
    logits = model(golden.clips())
    assert_close(model.graphs, figures["aux_graph"], 1e-8)
    auxiliary = model.auxiliary_loss(logits, labels)
    assert_close(auxiliary.item() / model.csc_weight, figures["aux_csc"], 1e-8)
    loss = F.cross_entropy(logits, labels) + auxiliary
    assert_close(loss.item(), figures["aux_loss"], 1e-8)
    loss.backward()
    norms = {name: p.grad.norm().item() for name, p in model.named_parameters()}
    assert list(norms) == [str(name) for name in figures["aux_grad_names"]]
    assert_each_close(list(norms.values()), figures["aux_grad_norms"], 1e-6, GRAD_NORM_FLOOR)
    assert_close(model.csc_loss.avg_f[:, figures["aux_memory_classes"]], figures["aux_memory"], 1e-8)


def test_figures(tree, golden):
    model = build(tree, golden)
    golden_models.check_structure(model, golden)
    golden_models.check_eval_logits(model, golden)
    golden_models.check_training_pass(model, golden)


def test_auxiliary_loss(tree, golden):
    check_auxiliary(build(tree, golden), golden)


def test_first_steps_and_reference(tree):
    """Of the smaller one, since these take seconds: two steps, the equations by themselves, single precision."""
    golden = load_golden("protogcn_coco")
    losses = golden_models.sgd_losses(build(tree, golden), golden, steps=2)
    assert_each_close(losses, golden.figures["sgd_losses"][:2], 1e-6)
    model = build(tree, golden)
    golden_models.check_reference(model, golden)
    golden_models.check_float32_training_logits(model.float(), golden)
