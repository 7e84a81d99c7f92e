"""The shared units, against their references."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.nn import reference
from skeleton_lab.nn.layers import MultiScaleTemporalConv, bodies_to_batch

CTRGCN_OPTIONS = {"kernel_size": 5, "dilations": (1, 2), "residual": False, "activation": False}
MSG3D_OPTIONS = {"kernel_size": 3, "dilations": (1, 2, 3, 4), "residual": True, "activation": True}
CASES = [
    (12, 12, 1, CTRGCN_OPTIONS), (8, 16, 2, CTRGCN_OPTIONS),
    (12, 12, 1, MSG3D_OPTIONS), (6, 12, 2, MSG3D_OPTIONS), (12, 12, 2, {**MSG3D_OPTIONS, "activation": False}),
    (8, 16, 1, {**CTRGCN_OPTIONS, "repeat_ends": True}), (8, 16, 2, {**CTRGCN_OPTIONS, "repeat_ends": True}),
    (16, 16, 1, {**MSG3D_OPTIONS, "uneven": True}), (5, 17, 2, {**MSG3D_OPTIONS, "residual": False, "uneven": True}),
]


def scramble(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data.normal_(generator=generator)
    for name, buffer in module.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)


def pair(case) -> tuple[MultiScaleTemporalConv, reference.MultiScaleTemporalConv]:
    in_channels, out_channels, stride, options = case
    ours = MultiScaleTemporalConv(in_channels, out_channels, stride=stride, **options).double()
    plain = reference.MultiScaleTemporalConv(in_channels, out_channels, stride=stride, **options).double()
    scramble(ours)
    assert list(ours.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(ours.state_dict())
    return ours, plain


@pytest.mark.parametrize("frames", [1, 7, 8])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_temporal_unit_equals_its_reference(case, frames):
    ours, plain = pair(case)
    x = torch.randn(3, case[0], frames, 5, dtype=torch.float64, requires_grad=True)
    twin = x.detach().clone().requires_grad_()
    for training in (True, False):
        ours.train(training)
        plain.train(training)
        got, expected = ours(x), plain(twin)
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
        seed = torch.randn_like(got)
        ours_grads = torch.autograd.grad(got, [x, *ours.parameters()], seed)
        plain_grads = torch.autograd.grad(expected, [twin, *plain.parameters()], seed)
        for mine, theirs in zip(ours_grads, plain_grads, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, msg=key)


def test_temporal_unit_starts_at_framework_defaults():
    unit = MultiScaleTemporalConv(96, 96, **MSG3D_OPTIONS)
    torch.manual_seed(0)
    bound = 96 ** -0.5
    assert unit.branches[0][0].weight.abs().max() <= bound
    assert unit.branches[0][0].weight.std().item() == pytest.approx(bound / 3 ** 0.5, rel=0.1)
    assert all((m.weight == 1).all() for m in unit.modules() if isinstance(m, nn.BatchNorm2d))


def test_channels_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match="10 channels do not divide into 4"):
        MultiScaleTemporalConv(10, 10, **CTRGCN_OPTIONS)
    with pytest.raises(UserError, match="3 channels do not divide into 4"):
        MultiScaleTemporalConv(3, 3, **CTRGCN_OPTIONS, uneven=True)


def test_bodies_to_batch_order():
    n, c, t, v, m = 2, 3, 4, 5, 2
    clips = torch.randn(n, c, t, v, m)
    bn = nn.BatchNorm1d(m * v * c).eval()
    with torch.no_grad():
        bn.running_mean.copy_(torch.arange(m * v * c))
    got = bodies_to_batch(clips, bn)
    assert got.shape == (n * m, c, t, v)
    for body in range(m):
        for joint in range(v):
            for axis in range(c):
                feature = (body * v + joint) * c + axis
                expected = (clips[1, axis, :, joint, body] - feature) / (1 + bn.eps) ** 0.5
                torch.testing.assert_close(got[m + body, axis, :, joint], expected)


def test_bodies_to_batch_refuses_another_shape():
    with pytest.raises(UserError, match="num_point"):
        bodies_to_batch(torch.zeros(1, 3, 4, 20, 2), nn.BatchNorm1d(150))
