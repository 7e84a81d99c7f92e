"""The optimisers and the schedule, against the framework's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skeleton_lab.train.optim import Schedule, make_optimizer, set_learning_rate


@pytest.mark.parametrize(("name", "nesterov", "reference"), [
    ("SGD", True, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
    ("SGD", False, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01)),
    ("Adam", False, lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.01)),
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
    schedule = Schedule(0.1, 0, [1], 0.1, cosine_epochs=3)
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
