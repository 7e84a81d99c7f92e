"""NaN in gradients, weights, moments and scores is found before anything is saved, and named."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from skeleton_lab.train.distributed import World
from skeleton_lab.train.finite import Finite, GradientNorms
from tests.skeleton_lab.train.conftest import assert_same_weights, run_here

FAULTY = ("--model", "toy_model_faulty.Model", "--num-epoch", "2")
NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The work directory of two epochs, of four steps each, without a fault."""
    folder = tmp_path_factory.mktemp("untouched")
    assert run_here(folder, *FAULTY).returncode == 0
    return folder


def assert_one_line(done, *parts):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize(("options", "chunks", "parts"), [
    ("gradient_at=8", (), ("the gradient of hidden.weight became nan in epoch 2, batch 4, step 8", "samples clip_")),
    ("gradient_at=15", ("--forward-batch-size", "3"), ("the gradient of hidden.weight became nan", "step 8")),
    ("gradient_at=5", (), ("the gradient of hidden.weight became nan in epoch 2, batch 1, step 5",)),
    ("moment_at=8", (), ("NaN or infinity in bn.running_mean after step 8, in epoch 2",)),
    ("score_at=8", (), ("the test loss became nan, scores of 4 of 24 clips are no numbers (clip_0 is the first)",)),
])
def test_what_is_no_number_is_named_and_never_saved(untouched, tmp_path, options, chunks, parts):
    """Also in the last epoch, after which no loss tells of it; the states and weights before it stay, and go on."""
    flags = (*FAULTY, *chunks, "--model-args", options)
    assert_one_line(run_here(tmp_path, *flags), *parts, "--resume")
    state = torch.load(tmp_path / "training_state.pt", weights_only=True)
    assert state["progress"]["epoch"] == 1 and state["best"]["epoch"] == 1
    assert not list(tmp_path.glob("runs-2-*.pt"))
    assert run_here(tmp_path, *flags, "--resume").returncode == 0  # counts its calls from 1 again
    if not chunks:
        assert_same_weights(untouched / "training_state.pt", tmp_path / "training_state.pt")


def test_scores_beyond_all_numbers_are_no_success(tmp_path):
    done = run_here(tmp_path, "--optimizer", "SGD", "--base-lr", "1e30", "--warm-up-epoch", "0", "--batch-size", "24",
                    "--num-epoch", "1")
    assert_one_line(done, "the test loss became")
    assert not list(tmp_path.glob("*.pt"))


def test_a_state_with_nan_is_told_and_the_one_before_is_used(untouched, tmp_path):
    """Earlier versions saved such states."""
    for name in ("weights", "momenta"):
        folder = tmp_path / name
        shutil.copytree(untouched, folder)
        path = folder / "training_state.pt"
        state = torch.load(path, weights_only=True)
        spoilt = state["model"] if name == "weights" else state["optimizer"]["state"][1]
        spoilt["hidden.bias" if name == "weights" else "momentum_buffer"][0] = NAN
        torch.save(state, path)
        done = run_here(folder, *FAULTY, "--resume")
        assert done.returncode == 0, done.stderr
        named = "hidden.bias" if name == "weights" else "momentum_buffer of hidden.bias"
        assert f"training_state.pt: holds NaN or infinity: {named}" in done.stdout
        assert "Using the state before it" in done.stdout and "Resuming in epoch 2" in done.stdout
        assert_same_weights(untouched / "training_state.pt", path)
    for name in ("training_state.pt", "training_state.previous.pt"):
        torch.save(state, folder / name)
    assert_one_line(run_here(folder, *FAULTY, "--resume"), "holds NaN or infinity", "no earlier state is left")


def test_weights_with_nan_are_refused(untouched, tmp_path):
    weights = torch.load(untouched / "best.pt", weights_only=True)
    weights["fc.bias"][1] = INF
    torch.save(weights, tmp_path / "bad.pt")
    for phase in ("test", "train"):
        done = run_here(tmp_path / phase, *FAULTY, "--phase", phase, "--weights", str(tmp_path / "bad.pt"))
        assert_one_line(done, "bad.pt: holds NaN or infinity in fc.bias")
    done = run_here(tmp_path / "good", *FAULTY, "--phase", "test", "--weights", str(untouched / "best.pt"))
    assert done.returncode == 0, done.stderr  # the mask of -inf in it is none of that


class TestGradientNorms:
    def test_the_step_and_the_parameter(self):
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), nn.Embedding(3, 2, sparse=True))
        norms = GradientNorms(model, torch.amp.GradScaler("cpu", enabled=False))
        for value in (1.0, INF, 3e38, NAN):
            for parameter in list(model.parameters())[:2]:
                parameter.grad = torch.full_like(parameter, value)
            model[2].weight.grad = torch.sparse_coo_tensor(size=(3, 2))
            norms.note()
        model.zero_grad(set_to_none=True)
        norms.note()
        said = norms.complaints(World(), 5)
        assert [bool(text) for text in said] == [False, True, True, True, False]
        assert "the gradient of 0.weight became nan (and of 1 more parameters)" in said[3]

    def test_gradients_of_fp16_parameters_do_not_overflow_in_the_norm(self):
        model = nn.Linear(40, 40, bias=False).half()
        norms = GradientNorms(model, torch.amp.GradScaler("cpu", enabled=False))
        model.weight.grad = torch.full_like(model.weight, 60000.0)
        norms.note()
        assert norms.complaints(World(), 1) == [""]

    def test_a_scaler_may_leave_out_steps_but_not_for_ever(self):
        model = nn.Linear(2, 2)
        scaler = torch.amp.GradScaler("cpu")
        norms, optimizer = GradientNorms(model, scaler), torch.optim.SGD(model.parameters(), 0.1)
        before, complaints = model.weight.detach().clone(), []
        for _ in range(30):
            optimizer.zero_grad()
            scaler.scale(model(torch.ones(1, 2)).sum()).backward()
            model.weight.grad[0] = INF
            norms.note()
            scaler.step(optimizer)
            scaler.update()
            complaints += norms.complaints(World(), 1)
        assert torch.equal(model.weight, before)
        assert not any(complaints[:20]) and "fp16 gradients stay NaN or infinite" in complaints[-1]


def test_what_was_not_finite_to_begin_with_is_no_fault():
    model = nn.BatchNorm1d(2)
    model.register_buffer("mask", torch.tensor([0.0, -INF]))
    finite = Finite.of(model)
    optimizer = torch.optim.Adam(model.parameters())
    assert finite.complaint(model.state_dict(), optimizer.state_dict()) == ""
    optimizer.state[model.bias] = {"exp_avg_sq": torch.tensor([0.0, INF])}
    model.running_var[0] = NAN
    assert finite.complaint(model.state_dict(), optimizer.state_dict()) == "running_var and 1 more"
