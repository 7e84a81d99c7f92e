"""The optimisers and the schedule, against the framework's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from skeleton_lab.train.optim import Cosine, Schedule, make_optimizer, set_learning_rate, shorten_gradient


@pytest.mark.parametrize(("name", "nesterov", "reference"), [
    ("SGD", True, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
    ("SGD", False, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01)),
    ("Adam", False, lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.01)),
    ("AdamW", False, lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.01)),
])
def test_three_steps_are_the_frameworks(name, nesterov, reference):
    models = nn.Linear(3, 2), nn.Linear(3, 2)
    models[1].load_state_dict(models[0].state_dict())
    optimizers = make_optimizer(name, models[0].parameters(), 0.1, 0.01, nesterov), reference(models[1].parameters())
    for _ in range(3):
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_frozen_parameters_are_left_out_and_the_rate_is_set():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    optimizer = make_optimizer("Adam", model.parameters(), 0.1, 0.0, False)
    set_learning_rate(optimizer, 0.02)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]
    assert optimizer.param_groups[0]["lr"] == 0.02


def test_the_rate_warms_up_and_decays():
    schedule = Schedule(0.1, 5, [35, 55], 0.1)
    rates = [schedule.learning_rate(epoch) for epoch in (0, 4, 5, 34, 35, 54, 55)]
    assert rates == pytest.approx([0.02, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])


def test_a_cosine_falls_with_every_batch():
    """0.05 (1 + cos(pi i / I)) at 0.1, of 4 batches an epoch; the rest of a schedule knows nothing of batches."""
    schedule = Schedule(0.1, 0, [1], 0.1, Cosine(3))
    rates = [schedule.within(epoch, batch / 4) for epoch in range(3) for batch in range(4)]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)
    framework = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
    expected = []
    for _ in rates:
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        framework.step()
    assert rates == pytest.approx(expected, rel=1e-9) and rates[0] == 0.1
    assert schedule.learning_rate(1) == rates[4]
    plain = Schedule(0.1, 0, [1], 0.1)
    assert [plain.within(epoch, 0.5) for epoch in range(2)] == [plain.learning_rate(epoch) for epoch in range(2)]


def test_warm_up_may_rise_with_every_batch():
    """SkateFormer's recipe: 25 epochs from 1e-7 to 1e-3, under a cosine of 500 epochs to 1e-5 that counts from 0."""
    schedule = Schedule(1e-3, 25, [], 0.1, Cosine(500, 1e-5), 1e-7)
    batches = 313
    for step in (0, 1, 4000, 25 * batches - 1, 25 * batches, 25 * batches + 1, 499 * batches, 500 * batches - 1):
        warm = 1e-7 + step * (1e-3 - 1e-7) / (25 * batches)
        cosine = 1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + math.cos(math.pi * step / (500 * batches)))
        epoch, batch = divmod(step, batches)
        assert schedule.within(epoch, batch / batches) == pytest.approx(warm if step < 25 * batches else cosine,
                                                                        rel=1e-12)
        assert schedule.learning_rate(epoch) == schedule.within(epoch, 0)
    assert schedule.within(25, 0) == pytest.approx(0.9939e-3, rel=1e-4)
    after = Schedule(1e-3, 25, [], 0.1, Cosine(500, 1e-5, start=25), 1e-7)
    assert after.within(25, 0) == 1e-3 and after.within(500, 0) == 1e-5
    assert after.within(262, 0.5) == pytest.approx((1e-3 + 1e-5) / 2)


@pytest.mark.parametrize(("longest", "factor"), [(5.0, 0.5), (10.0, 1.0), (11.0, 1.0)])
def test_a_gradient_is_shortened_as_a_whole(longest, factor):
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    weights[0].grad, weights[1].grad = torch.tensor([6.0, 0.0]), torch.tensor([8.0])
    shorten_gradient(torch.optim.SGD(weights, 0.1), longest)
    assert weights[0].grad.tolist() == pytest.approx([6 * factor, 0])
    assert weights[1].grad.tolist() == pytest.approx([8 * factor]) and weights[2].grad is None
