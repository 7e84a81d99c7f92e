"""The channel mixing behind each aggregation."""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Module):
    """1x1 convolution, BatchNorm, ReLU if `activation`: (B, C_in, T, V) -> (B, C_out, T, V).

    `layers.0` and `layers.1` are the published checkpoints' names for the convolution and the BatchNorm.
    """

    def __init__(self, in_channels: int, out_channels: int, activation: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels)]
        if activation:
            layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
