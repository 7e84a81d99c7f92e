"""A model's own loss is added to the cross-entropy, logged, and exact when a run is resumed or shared."""

import re

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.nn import functional

from skeleton_lab.train.device import Precision
from skeleton_lab.train.finite import Finite
from skeleton_lab.train.loop import TrainingPasses
from skeleton_lab.train.state import damage, unusable
from tests.skeleton_lab.train.conftest import assert_goes_on_and_shares, run_here

FLAGS = ("--train-feeder-args", "noise=0.0", "--model", "toy_model_auxiliary.Model")


class WithOwn(nn.Linear):
    def forward(self, clips):
        self.kept = super().forward(clips)
        return self.kept

    def auxiliary_loss(self):
        return self.kept.square().mean()


def test_a_pass_adds_it_to_the_loss_and_tells_it():
    torch.manual_seed(0)
    model, clips, labels = WithOwn(3, 2).double(), torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0])
    precision = Precision("cpu")
    found = TrainingPasses(model, torch.device("cpu"), precision, precision.scaler()).run(clips, labels, 2)
    own = model.weight.grad.clone()
    logits = functional.linear(clips, model.weight, model.bias)
    entropy, auxiliary = functional.cross_entropy(logits, labels), logits.square().mean()
    [expected] = torch.autograd.grad((entropy + auxiliary) / 2, [model.weight])
    torch.testing.assert_close(own, expected)
    assert found.tolist() == pytest.approx([entropy.item(), (logits.argmax(1) == labels).float().mean().item(),
                                            auxiliary.item()])


def test_a_run_logs_it_and_goes_on_exactly(tmp_path):
    done = run_here(tmp_path / "whole", *FLAGS)
    assert done.returncode == 0 and len(re.findall(r"\tMean auxiliary loss: 0\.\d{4}\.", done.stdout)) == 3
    events = EventAccumulator(str(tmp_path / "whole" / "runs" / "train")).Reload()
    assert [event.step for event in events.Scalars("auxiliary")] == list(range(1, 13))
    assert_goes_on_and_shares(tmp_path, *FLAGS)


def test_what_only_training_needs_is_in_its_state_and_in_no_weights(tmp_path):
    flags = ("--model", "toy_model_remembering.Model")
    assert run_here(tmp_path / "whole", *flags).returncode == 0
    assert run_here(tmp_path / "parts", *flags, "--num-epoch", "2").returncode == 0
    path = tmp_path / "parts" / "training_state.pt"
    state = torch.load(path, weights_only=True)
    assert state["training_buffers"]["memory"].any() and "memory" not in state["model"]
    assert damage({**state, "training_buffers": []}) == "its 'training_buffers' is damaged"
    not_finite = {**state, "training_buffers": {"memory": torch.full((3,), torch.nan)}}
    assert unusable(not_finite, Finite((), frozenset())) == "holds NaN or infinity: memory"
    for changed, told in (({}, "KeyError"), ({"memory": torch.zeros(1)}, "memory is (1,), not (3,)")):
        torch.save({**state, "training_buffers": changed}, path)
        refused = run_here(tmp_path / "parts", *flags, "--resume")
        assert refused.returncode == 2 and told in refused.stderr and refused.stderr.count("\n") == 1, refused.stderr
    torch.save(state, path)
    assert run_here(tmp_path / "parts", *flags, "--resume").returncode == 0
    ends = [torch.load(tmp_path / name / "training_state.pt", weights_only=True) for name in ("whole", "parts")]
    for part in ("model", "training_buffers"):
        assert all(torch.equal(ends[0][part][key], ends[1][part][key]) for key in ends[0][part])
    assert "memory" not in torch.load(tmp_path / "whole" / "best.pt", weights_only=True)
