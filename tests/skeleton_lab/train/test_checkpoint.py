"""Files of tensors: what they may hold, with every version of PyTorch."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict

import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.train.checkpoint import load_weights, read_torch_file


@pytest.mark.parametrize("zipped", [True, False])
def test_a_published_checkpoint_is_read(tmp_path, zipped):
    """Its schedule counts milestones in a Counter."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 40])
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 3, "optimizer_states": optimizer.state_dict(), "lr_scheduler_states": schedule.state_dict()},
               path, _use_new_zipfile_serialization=zipped)
    read = read_torch_file(path)
    assert read["lr_scheduler_states"]["milestones"] == Counter([30, 40])
    assert torch.equal(read["optimizer_states"]["state"][0]["momentum_buffer"], model.weight.grad)


@pytest.mark.parametrize("zipped", [True, False])
def test_published_weights_are_read(tmp_path, zipped):
    source, target = nn.Linear(2, 2), nn.Linear(2, 2)
    weights = OrderedDict((f"module.{key}", value) for key, value in source.state_dict().items())
    torch.save(weights, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    load_weights(target, tmp_path / "w.pt", (), True, print)
    assert torch.equal(source.weight, target.weight) and torch.equal(source.bias, target.bias)


class _Harm:
    def __reduce__(self):
        return print, ("harm",)


@pytest.mark.parametrize("content", [_Harm(), {"w": _Harm()}, Counter([print]), OrderedDict(a=_Harm())])
def test_whatever_calls_something_is_refused(tmp_path, content, capsys):
    torch.save(content, tmp_path / "w.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(content))
    for name in ("w.pt", "plain.pt"):
        with pytest.raises(UserError, match="holds more than tensors and plain data, or is damaged"):
            read_torch_file(tmp_path / name)
    assert "harm" not in capsys.readouterr().out
