"""Bytes and floating-point operations, against figures worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skeleton_lab.bench.meters import KeptBytes, LiveBytes, count_flops, tensor_bytes
from skeleton_lab.machine import peak_resident_bytes

KIB = 1024


def floats(kib: int) -> torch.Tensor:
    return torch.randn(kib * KIB // 4)


class Square(torch.autograd.Function):
    """Keeps its input only, whatever it computes on the way."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient * ctx.saved_tensors[0]


def test_live_bytes_follow_creation_views_and_release():
    with LiveBytes() as live:
        a = floats(8)
        assert live.now == 8 * KIB
        view = a.view(2, -1)
        a.mul_(2)
        assert live.now == 8 * KIB  # a view and an in-place result are no new memory
        b = a + 1
        assert live.now == 16 * KIB
        del a
        assert live.now == 16 * KIB  # the view still holds it
        del view
        assert live.now == 8 * KIB
        del b
    assert live.now == 0 and live.peak == 16 * KIB


def test_live_bytes_leave_out_what_was_there_before():
    weight = floats(4)
    with LiveBytes([weight]) as live:
        weight.add_(1)
        assert live.now == 0
        del weight
    assert live.now == 0


def test_live_bytes_see_the_backward_pass():
    x = floats(8).requires_grad_()
    with LiveBytes([x]) as live:
        loss = (x * 3).square().sum()
        held = live.now
        loss.backward()
    assert held == 8 * KIB + 4  # 3x, which the square keeps for its gradient, and the loss
    assert live.peak >= 16 * KIB
    del loss
    assert live.now == 8 * KIB  # x.grad


def test_kept_bytes_count_each_storage_once_and_no_parameter():
    layer = nn.Linear(256, 256, bias=False)
    x = torch.randn(4, 256)
    with KeptBytes(layer.parameters()) as kept:
        y = layer(x).exp()
        z = y * y.view(4, 256)
    assert kept.total == tensor_bytes([x, y])
    del z


def test_kept_bytes_see_a_custom_function():
    x = floats(8).requires_grad_()
    with KeptBytes() as kept:
        y = Square.apply(x * 1.5)
    assert kept.total == 8 * KIB
    y.sum().backward()
    assert torch.allclose(x.grad, 4.5 * x)


@pytest.mark.parametrize("custom", [False, True])
def test_flops_of_a_convolution_and_a_product(custom):
    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            return torch.conv2d(x, w)

    conv = Hidden.apply if custom else torch.conv2d
    x, w = torch.randn(2, 3, 10, 7), torch.randn(5, 3, 3, 1)
    assert count_flops(lambda: conv(x, w)) == 2 * 2 * 5 * 8 * 7 * 3 * 3  # two for a multiply-add, N, outputs, inputs
    a, b = torch.randn(4, 6, 8), torch.randn(4, 8, 9)
    assert count_flops(lambda: torch.zeros(4, 6).addmm_(torch.ones(4, 5), torch.ones(5, 6))) == 2 * 4 * 5 * 6
    assert count_flops(lambda: torch.einsum("nij,njk->nik", a, b)) == 2 * 4 * 6 * 8 * 9


def test_peak_resident_memory_grows_with_what_is_used():
    before = peak_resident_bytes()
    block = torch.ones(60 * KIB * KIB // 4)
    assert peak_resident_bytes() >= before
    assert peak_resident_bytes() >= block.nbytes
