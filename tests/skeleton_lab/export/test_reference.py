"""The engine's units as standard operators: the same numbers, and the model itself left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skeleton_lab.export.formats import Example, trace
from skeleton_lab.export.reference import fold_batch_norms, inference_form
from skeleton_lab.nn.layers import MultiScaleTemporalConv, PointwiseConvNorm
from skeleton_lab.nn.reference import every_stride


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
        torch.testing.assert_close(inference_form(unit, {})(x), unit(x))


@pytest.mark.parametrize("time_axis", [2, 3])
def test_pointwise_units_in_a_model(time_axis: int) -> None:
    model = shaken(nn.Sequential(PointwiseConvNorm(3, 5, 2, time_axis), nn.ReLU()))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    plain = inference_form(model, {})
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), model(x))
    assert model[0].forward.__name__ == "forward" and plain[0].forward.__name__ == "standard_forward"
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("frames", [1, 2, 5, 6])
def test_every_stride(frames: int) -> None:
    x = torch.randn(2, 3, frames, 4)
    assert torch.equal(every_stride(x, 2), x[:, :, ::2])
    assert every_stride(x, 1) is x


class Shared(nn.Module):
    """Convolutions with a batch norm behind them, of which two cannot take it in: one is used twice, one is shared."""

    def __init__(self) -> None:
        super().__init__()
        self.once, self.twice = nn.Conv2d(3, 4, (3, 1), stride=(2, 1), bias=False), nn.Conv2d(3, 4, 1)
        self.shared, self.norms = nn.Conv2d(4, 4, 1), nn.ModuleList(nn.BatchNorm2d(4) for _ in range(4))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        x = clips.squeeze(4)  # (N, C, T, V)
        twice = self.twice(x)
        y = self.norms[0](self.once(x)).mean(dim=2) + (self.norms[1](twice) * twice).mean(dim=2)  # (N, C, V)
        y = y.unsqueeze(2)
        return (self.norms[2](self.shared(y)) + self.norms[3](self.shared(y * 2))).mean(dim=(2, 3))


def test_batch_norms_are_folded_where_a_convolution_is_theirs_alone() -> None:
    model = shaken(Shared()).float().requires_grad_(False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    program = fold_batch_norms(trace(model, Example(channels=3, frames=9, joints=5, bodies=1, open_frames=False)))
    kept = sum("batch_norm" in str(node.target) for node in program.graph.nodes if node.op == "call_function")
    assert kept == (3 if hasattr(torch.export.Dim, "DYNAMIC") else 4)
    x = torch.randn(2, 3, 9, 5, 1)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-4)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
