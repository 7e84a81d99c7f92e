"""Weights of anybody's checkpoints: found under whatever key they stand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.train.checkpoint import load_weights


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return dict(model().state_dict())


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state().items()}


OPTIMIZER = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


@pytest.mark.parametrize(("content", "said"), [
    (state(), None),
    (prefixed("module."), None),
    (prefixed("module.module."), None),
    (prefixed("_orig_mod.module."), None),
    ({"state_dict": prefixed("module."), "epoch": 7, "best_acc1": np.float64(0.9), "optimizer": OPTIMIZER},
     "under 'state_dict'; not used: epoch, best_acc1, optimizer."),
    ({"model_state_dict": state(), "loss": np.float32(1)}, "under 'model_state_dict'; not used: loss."),
    ({"epoch": np.int64(3), "net": state(), "acc": np.arange(3)}, "under 'net'; not used: epoch, acc."),
    ({"model": state(), "args": {"lr": 0.1}}, "under 'model'; not used: args."),
    ({"model": state(), "ema": prefixed("module."), "epoch": 3},
     "under 'model'; not used: ema, epoch. There are weights under ema too: to use those, save them alone."),
    ({"model": "ctrgcn", "state_dict": state()}, "under 'state_dict'; not used: model."),
    ({"model": {"state_dict": prefixed("module.")}}, "under 'model.state_dict'."),
    ({"meta": {"epoch": 3, "mean": np.zeros(3)}, "state_dict": prefixed("backbone.")},
     "under 'state_dict'; not used: meta."),
    ({"generator": prefixed("net.module."), "optimizer": OPTIMIZER}, "under 'generator'; not used: optimizer."),
    ({**state(), "epoch": 3}, "a mapping of weights; not used: epoch."),
    ({key: value.numpy() for key, value in state().items()}, None),
], ids=lambda value: ",".join(value)[:40] if isinstance(value, dict) else "")
def test_weights_are_found_and_the_rest_is_told(tmp_path, content, said):
    torch.save(content, tmp_path / "w.pth.tar")
    target, lines = model(), []
    load_weights(target, tmp_path / "w.pth.tar", (), False, lines.append)
    assert all(torch.equal(target.state_dict()[key], value) for key, value in state().items())
    assert lines == [] if said is None else len(lines) == 1 and lines[0].endswith(said), lines


@pytest.mark.parametrize(("content", "complaint"), [
    ({"epoch": 3, "optimizer": OPTIMIZER}, "but its keys are epoch, optimizer; where the file was made, save"),
    ({"a": prefixed(""), "b": prefixed("")}, "several sets of weights, under a, b; save the one that is meant"),
    ([1, 2], "but it is a list without any"),
    ({}, "but it is a dict without any"),
    ({"conv.weight": torch.ones(2)}, "weights of another model: 1 key(s) this model has not: conv.weight"),
    ({"state_dict": {**prefixed("backbone."), "head.weight": torch.ones(2)}}, "weights of another model"),
])
def test_where_there_are_none_the_keys_are_named(tmp_path, content, complaint):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UserError) as refusal:
        load_weights(model(), tmp_path / "w.pt", (), False, print)
    assert complaint in str(refusal.value) and str(refusal.value).startswith(f"{tmp_path / 'w.pt'}: ")


@pytest.mark.parametrize("exact", [True, False])
def test_ignored_weights_that_are_not_there_are_told(tmp_path, exact):
    torch.save(prefixed("module."), tmp_path / "w.pt")
    target, lines = model(), []
    load_weights(target, tmp_path / "w.pt", ("0.wieght", "1.bias"), exact, lines.append)
    assert lines[0].startswith("--ignore-weights 0.wieght: is ") and lines[0].endswith("; did you mean '0.weight'?")
    assert lines[1] == "Ignoring weights: 1.bias" and "keeping fresh values: 1.bias" in lines[2]
    assert torch.equal(target.state_dict()["0.weight"], state()["0.weight"])
    assert torch.equal(target.state_dict()["1.bias"], torch.zeros(3))
