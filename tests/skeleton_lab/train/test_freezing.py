"""Weights that stay as they are."""

import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.train.freezing import freeze


def small():
    return nn.ModuleDict({"body": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout()),
                          "fc": nn.Linear(4, 2)})


@pytest.mark.parametrize(("patterns", "frozen"), [
    (["body"], 4), (["body.0", "fc.bias"], 3), (["*.bias"], 3), (["body.[01].weight"], 2), ([], 0)])
def test_what_patterns_name(patterns, frozen):
    model = small()
    freeze(model, patterns)
    assert sum(not p.requires_grad for p in model.parameters()) == frozen


def test_whole_parts_stay_in_evaluation_mode():
    model = small()
    for module in freeze(model.train(), ["body"]):
        module.eval()
    assert not any(part.training for part in model["body"].modules()) and model["fc"].training
    assert freeze(small(), ["*.bias"]) == ()


@pytest.mark.parametrize(("patterns", "words"), [
    (["bdy"], "--freeze bdy: names no weight of the model; did you mean 'body'?; its parts are body, fc"),
    (["body", "fc"], "--freeze body fc: leaves no weight to train")])
def test_what_freezes_nothing_or_all_is_refused(patterns, words):
    with pytest.raises(UserError) as caught:
        freeze(small(), patterns)
    assert words in str(caught.value)


def test_a_run_leaves_frozen_parts_and_their_moments(toy, tmp_path):
    assert toy(tmp_path / "a", "--num-epoch", "1").returncode == 0
    weights = tmp_path / "a" / "best.pt"
    done = toy(tmp_path / "b", "--weights", str(weights), "--freeze", "hidden", "bn")
    assert done.returncode == 0 and "27 parameters trained" in done.stdout
    before, after = (torch.load(path, weights_only=True) for path in (weights, tmp_path / "b" / "runs-3-12.pt"))
    for key in before:
        assert torch.equal(before[key], after[key]) == (not key.startswith("fc")), key
    done = toy(tmp_path / "c", "--freeze", "hiden")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "did you mean 'hidden'?" in done.stderr
    assert not list((tmp_path / "c").glob("*.pt"))
