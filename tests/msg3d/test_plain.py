"""The model as standard operators, which is what is exported: the published model's logits."""

from __future__ import annotations

import pytest
import torch

from skeleton_lab.export.plain import plain_inference
from tests.golden_models import assert_close, fill_golden, load_golden

REPLACED = {"MultiWindowG3D", "MultiScaleGraphConv", "TemporalRowsConv"}


@pytest.mark.parametrize("name", ["msg3d_ntu", "msg3d_kinetics"])
def test_eval_logits(tree, name):
    golden = load_golden(name)
    model = fill_golden(tree.load(golden.model)(**golden.model_args).double())
    plain = plain_inference(model)
    with torch.no_grad():
        assert_close(plain(golden.clips()), golden.figures["eval_logits"], 1e-8)
        short = golden.clips()[:1, :, :7]  # an odd length, which strides do not divide
        assert_close(plain(short), model.eval()(short), 1e-8)
    assert not {type(part).__name__ for part in plain.modules()} & REPLACED
