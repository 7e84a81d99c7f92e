"""Batch norm as functions: against the framework's, and gradients against differences."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.nn.norm import (
    NormActivation,
    batch_moments,
    folded,
    merge_moments,
    normalize,
    normalize_backward,
    row_moments,
    update_running,
    with_synchronised_norms,
)
from skeleton_lab.nn.recompute import recomputed, recomputing


def test_moments_equal_the_frameworks():
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64) * 3 + 1
    mean, var = batch_moments(x)
    torch.testing.assert_close(mean, x.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(var, x.var(dim=(0, 2, 3), unbiased=False))
    parts = merge_moments([row_moments(x[:1]), row_moments(x[1:])], 30)
    torch.testing.assert_close(parts.mean, mean)
    torch.testing.assert_close(parts.var, var)


def test_variance_survives_a_large_mean():
    x = torch.randn(8, 2, 400) * 0.01 + 100
    exact = x.double().var(dim=(0, 2), unbiased=False).float()
    torch.testing.assert_close(batch_moments(x).var, exact, rtol=1e-3, atol=0)


def test_moments_of_half_precision_are_single():
    moments = batch_moments(torch.randn(2, 3, 8).bfloat16())
    assert moments.mean.dtype == moments.var.dtype == torch.float32


def test_normalize_and_its_gradients_equal_the_frameworks():
    norm = nn.BatchNorm2d(4).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    out = norm(x)
    grad = torch.randn_like(out)
    out.backward(grad)
    moments = batch_moments(x.detach())
    with torch.no_grad():
        torch.testing.assert_close(normalize(x, norm.weight, norm.bias, moments, norm.eps), out)
        grads = normalize_backward(grad, x, norm.weight, moments, norm.eps)
    for ours, theirs in zip(grads, (x.grad, norm.weight.grad, norm.bias.grad), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("with_residual", [True, False])
def test_norm_activation_gradients(with_residual):
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    weight, bias = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    residual = torch.randn_like(x, requires_grad=True) if with_residual else None

    def run(x, weight, bias, *rest):
        return NormActivation.apply(x, weight, bias, *batch_moments(x.detach()), rest[0] if rest else None, 1e-5)

    inputs = (x, weight, bias, residual) if with_residual else (x, weight, bias)
    assert torch.autograd.gradcheck(run, inputs)


def test_running_moments_equal_the_frameworks():
    torch.manual_seed(0)
    theirs = nn.BatchNorm1d(4).double()
    ours = [nn.BatchNorm1d(1).double(), nn.BatchNorm1d(3).double()]
    bias = torch.randn(4, dtype=torch.float64)
    for _ in range(3):
        x = torch.randn(5, 4, 7, dtype=torch.float64)
        theirs(x + bias.view(-1, 1))
        update_running(ours, batch_moments(x), 35, left_out=bias)
    torch.testing.assert_close(torch.cat([norm.running_mean for norm in ours]), theirs.running_mean)
    torch.testing.assert_close(torch.cat([norm.running_var for norm in ours]), theirs.running_var)
    assert [norm.num_batches_tracked.item() for norm in ours] == [3, 3]


def test_folded_is_evaluation():
    norm = nn.BatchNorm1d(3).double().eval()
    nn.init.normal_(norm.weight)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    scale, shift = folded([norm])
    torch.testing.assert_close(x * scale.view(-1, 1) + shift.view(-1, 1), norm(x))


class Counter(nn.Module):
    """A block with state that changes once per step, and not while recomputing."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.runs = self.steps = 0

    def forward(self, x):
        self.runs += 1
        self.steps += not recomputing()
        return torch.tanh(self.linear(x))


def test_recomputed_gives_the_same_gradients_and_leaves_state_alone():
    block, x = Counter().double(), torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad(block(x).square().sum(), [x, *block.parameters()])
    block.runs = block.steps = 0
    recomputed(block, x).square().sum().backward()
    for ours, theirs in zip((x.grad, *(p.grad for p in block.parameters())), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert (block.runs, block.steps) == (2, 1) and not recomputing()


def test_recomputed_moves_the_frameworks_moments_once():
    block, x = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).double(), torch.randn(2, 3, 4, 5).double()
    twin = copy.deepcopy(block)
    recomputed(block, x).square().sum().backward()
    twin(x).square().sum().backward()
    for (key, ours), theirs in zip(block.state_dict().items(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=key)
    assert block[1].track_running_stats
    torch.testing.assert_close(block[0].weight.grad, twin[0].weight.grad)


def test_recomputed_without_gradients_runs_once():
    block = Counter()
    with torch.no_grad():
        recomputed(block, torch.randn(4, 3))
    assert block.runs == 1


def test_recomputed_keeps_frozen_parameters_frozen():
    block = Counter()
    block.linear.bias.requires_grad_(False)
    recomputed(block, torch.randn(4, 3)).sum().backward()
    assert block.linear.bias.grad is None and block.linear.weight.grad is not None


def test_a_norm_that_cannot_be_synchronised_is_named():
    for norm in (nn.BatchNorm1d(3, affine=False), nn.BatchNorm2d(3, track_running_stats=False),
                 nn.BatchNorm3d(3, momentum=None)):
        with pytest.raises(UserError, match=r"^--sync-bn: the model's '1\.0' is a BatchNorm without"):
            with_synchronised_norms(nn.Sequential(nn.ReLU(), nn.Sequential(norm)))


@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm1d, (6, 3)), (nn.BatchNorm1d, (6, 3, 4)),
                                             (nn.BatchNorm2d, (6, 3, 4, 2)), (nn.BatchNorm3d, (6, 3, 4, 2, 2))])
def test_a_synchronised_norm_of_one_process_is_the_frameworks(kind, shape):
    plain, copy = (nn.Sequential(kind(3)).double() for _ in range(2))
    synchronised = with_synchronised_norms(copy)
    assert list(synchronised.state_dict()) == list(plain.state_dict())
    x = torch.randn(*shape, dtype=torch.float64)
    results = []
    for model in (plain, synchronised):
        own = x.clone().requires_grad_()
        out = model(own)
        (out * torch.arange(out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
        results.append((out, own.grad, model[0].weight.grad, model[0].running_mean, model[0].running_var,
                        model[0].num_batches_tracked, model.eval()(x)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)
