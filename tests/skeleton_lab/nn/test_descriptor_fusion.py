"""Fusion of descriptors with a skeleton model: where it begins, what it keeps, what it can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skeleton_lab.errors import UserError
from skeleton_lab.nn.descriptor_fusion import (
    DROPOUT,
    KINDS,
    LENGTH,
    Describe,
    Standardize,
    fused,
    skeleton_part,
)
from skeleton_lab.nn.inputs import Inputs, called

WIDTH, FEATURES, CLASSES = 5, 12, 4


class Skeleton(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, FEATURES)
        self.fc = nn.Linear(FEATURES, CLASSES)

    def features(self, clips: Tensor) -> Tensor:
        return torch.relu(self.hidden(clips.mean(dim=(2, 3, 4))))

    def forward(self, clips: Tensor) -> Tensor:
        return self.fc(self.features(clips))


def batch(count: int = 6) -> Inputs:
    generator = torch.Generator().manual_seed(count)
    return Inputs((torch.randn(count, 3, 4, 2, 1, generator=generator),
                   torch.randn(count, WIDTH, generator=generator) * 100 + 7))


def model_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return fused(Skeleton(), kind, WIDTH, "Skeleton")


def shaken(model: nn.Module) -> nn.Module:
    """The same model with no weight left at zero."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_begins_at_the_skeleton_models_own_output(kind, training):
    model = model_of(kind).train(training)
    assert torch.equal(called(model, batch()), model.model(batch().clips))


@pytest.mark.parametrize("kind", KINDS)
def test_the_descriptor_then_changes_the_output(kind):
    model = shaken(model_of(kind)).train()
    called(model, batch())
    model.eval()
    clips, vectors = batch().tensors
    assert not torch.allclose(model(clips, vectors), model(clips, vectors.flip(0)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_gets_a_gradient_once_training_is_under_way(kind):
    model = shaken(model_of(kind)).train()
    called(model, batch()).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_is_the_models_own_and_the_fusions(kind):
    model = shaken(model_of(kind))
    own = model.model.state_dict()
    state = model.state_dict()
    assert list(state)[:len(own)] == list(own) and len(state) > len(own)
    assert all(key.startswith("fusion.") for key in list(state)[len(own):])
    called(model.train(), batch())  # moments
    fresh = model_of(kind)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(called(fresh.eval(), batch()), called(model.eval(), batch()))
    with pytest.raises(RuntimeError, match="Missing key"):
        fresh.load_state_dict(own)


def test_only_models_without_fusion_leave_its_weights_out():
    state, said = model_of("late").state_dict(), []
    own = Skeleton().state_dict()
    assert list(skeleton_part(state, own, said.append)) == list(own)
    assert len(said) == 1 and "5 key(s) fusion.*" in said[0]
    assert list(skeleton_part(state, state, said.append)) == list(state)
    assert list(skeleton_part(own, own, said.append)) == list(own) and len(said) == 1


@pytest.mark.parametrize("sizes", [(40,), (1,) * 40, (7, 30, 3)])
def test_standardize_knows_the_moments_of_all_it_has_seen(sizes):
    vectors = torch.from_numpy(np.random.default_rng(0).normal(3, [1e-3, 1, 50, 1000], (40, 4))).float()
    standardize = Standardize(4).train()
    for part in vectors.split(sizes):
        standardize(part)
    wanted = (vectors - vectors.mean(dim=0)) / vectors.std(dim=0, correction=0) * LENGTH / 2
    assert torch.allclose(standardize.eval()(vectors), wanted, atol=1e-3)


def test_standardize_makes_nothing_of_what_never_varies():
    standardize = Standardize(3).train()
    vectors = torch.tensor([[0.0, 0.1, 1e8], [0.0, 0.1, 1e8]])
    assert not standardize(vectors).any() and not standardize.eval()(vectors).any()
    assert torch.isfinite(Standardize(3).train()(vectors[:1])).all()  # the very first clip by itself


def test_standardize_is_no_longer_for_more_numbers_and_drops_in_training_only():
    vectors = torch.randn(1000, 64)
    standardize = Standardize(64).train()
    dropped = (standardize(vectors) == 0).float().mean()
    assert abs(dropped - DROPOUT) < 0.02
    length = standardize.eval()(vectors).norm(dim=1).mean()
    assert length == pytest.approx(LENGTH, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_learns_what_the_descriptor_alone_tells(kind):
    torch.manual_seed(0)
    model = fused(Skeleton(), kind, 8, "Skeleton")
    labels = torch.arange(64) % CLASSES
    codes = torch.randn(CLASSES, 8)
    clips = torch.randn(64, 3, 4, 2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True)
    for _ in range(60):
        optimizer.zero_grad()
        logits = model(clips, 1000 + codes[labels] + 0.1 * torch.randn(64, 8))
        nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
    model.eval()
    unseen = torch.randn(64, 3, 4, 2, 1), 1000 + codes[labels]
    assert (model(*unseen).argmax(dim=1) == labels).float().mean() > 0.9


def test_describe_gives_each_index_its_samples_vector():
    table = {f"s{i}": np.full(2, i, np.float32) for i in range(3)}
    describe = Describe(table, list(table))
    clips, more = torch.zeros(4, 1), torch.ones(4, 3)
    for data in (clips, Inputs((clips, more))):
        described = describe(data, [2, 0, 4, 5])  # of a feeder that repeats three samples
        assert described.tensors[:-1] == Inputs.of(data).tensors
        assert described.tensors[-1].tolist() == [[2, 2], [0, 0], [1, 1], [2, 2]]


def test_refuses_what_it_cannot_fuse():
    class Headless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

    class Taken(Skeleton):
        def __init__(self) -> None:
            super().__init__()
            self.fusion = nn.Linear(2, 2)

    for model, part in ((Headless(), "features"), (nn.Identity(), "fc"), (Taken(), "of its own")):
        with pytest.raises(UserError, match=part):
            fused(model, "late", WIDTH, "some.Model")
    for alone in (batch().clips,), (batch().clips, torch.zeros(6, WIDTH + 1)):
        with pytest.raises(UserError, match="came without"):
            model_of("late")(*alone)
