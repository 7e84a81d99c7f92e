"""The baseline beyond the golden figures: sizes, options, initialisation, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from skeleton_lab.errors import UserError


@pytest.mark.parametrize(("arguments", "expected"), [
    ({"num_class": 60, "graph": "graph.ntu_rgb_d.Graph"}, 2_092_902),
    ({"num_class": 120, "graph": "graph.ntu_rgb_d.Graph"}, 2_108_322),
    ({"num_class": 10, "num_point": 20, "num_person": 1, "graph": "graph.ucla.Graph"}, 2_073_122),
])
def test_parameter_counts(tree, arguments, expected):
    model = tree.load("model.baseline.Model")(**arguments)
    assert sum(p.numel() for p in model.parameters()) == expected
    assert len(model.state_dict()) == 232


def test_initialisation(tree):
    torch.manual_seed(5)
    model = tree.load("model.baseline.Model")(graph="graph.ntu_rgb_d.Graph")
    for name in ("l1", "l5", "l10"):
        block = getattr(model, name)
        assert torch.equal(block.gcn1.PA, torch.eye(25).repeat(3, 1, 1))
        assert (block.gcn1.bn.weight == 1e-6).all()
        for conv in block.gcn1.conv_d:
            out_channels, in_channels = conv.weight.shape[:2]
            assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (3 * out_channels * in_channels)), rel=0.2)
            assert not conv.bias.any()
        std = math.sqrt(2 / (5 * block.tcn1.conv.weight.shape[0]))
        assert block.tcn1.conv.weight.std().item() == pytest.approx(std, rel=0.05)
        assert (block.tcn1.bn.weight == 1).all()


def test_number_of_topologies_and_channels(tree):
    model = tree.load("model.baseline.Model")(graph="graph.ntu_rgb_d.Graph", num_set=2, in_channels=2, adaptive=False)
    assert not any(key.endswith("PA") for key in model.state_dict()) and len(model.l1.gcn1.conv_d) == 2
    assert model.eval()(torch.randn(1, 2, 4, 25, 2)).shape == (1, 60)


def test_wrong_number_of_joints_is_refused(tree):
    with pytest.raises(UserError, match="num_point 20"):
        tree.load("model.baseline.Model")(graph="graph.ntu_rgb_d.Graph", num_point=20)
