"""The engine's units as standard operators: the same numbers, and the model itself left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skeleton_lab.export.plain import every_stride, plain_inference
from skeleton_lab.nn.layers import MultiScaleTemporalConv, PointwiseConvNorm


def shaken(module: nn.Module) -> nn.Module:
    """Give every number of a module, running moments included, a value that shows if it is left out."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            low, high = (0.5, 1.5) if name.endswith("running_var") else (-1, 1)
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return module.double().eval()


@pytest.mark.parametrize("time_axis", [2, 3])
@pytest.mark.parametrize(("in_channels", "stride", "residual"), [(12, 1, True), (12, 2, True), (8, 1, False)])
def test_temporal_units(time_axis: int, in_channels: int, stride: int, residual: bool) -> None:
    unit = shaken(MultiScaleTemporalConv(in_channels, 14, kernel_size=5, dilations=(1, 2), stride=stride,
                                         residual=residual, activation=residual, time_axis=time_axis, uneven=True))
    x = torch.randn(2, in_channels, *((9, 4) if time_axis == 2 else (4, 9)), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(plain_inference(unit)(x), unit(x))


@pytest.mark.parametrize("time_axis", [2, 3])
def test_pointwise_units_in_a_model(time_axis: int) -> None:
    model = shaken(nn.Sequential(PointwiseConvNorm(3, 5, 2, time_axis), nn.ReLU()))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    plain = plain_inference(model)
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), model(x))
    assert not any(isinstance(part, PointwiseConvNorm) for part in plain.modules())
    assert isinstance(model[0], PointwiseConvNorm)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("frames", [1, 2, 5, 6])
def test_every_stride(frames: int) -> None:
    x = torch.randn(2, 3, frames, 4)
    assert torch.equal(every_stride(x, 2), x[:, :, ::2])
    assert every_stride(x, 1) is x
