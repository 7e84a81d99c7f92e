"""The channel mixing that belongs to each aggregation."""

from __future__ import annotations

from torch import Tensor, nn

from skeleton_lab.nn.norm import folded


class MLP(nn.Module):
    """The parameters of a 1x1 convolution over K*C_in channels and its BatchNorm; the graph convolution applies them.

    `layers.0` and `layers.1` are the published checkpoints' names.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))

    @property
    def weight(self) -> Tensor:
        """(C_out, K*C_in)."""
        return self.layers[0].weight.flatten(1)

    @property
    def bias(self) -> Tensor:
        """(C_out)."""
        return self.layers[0].bias

    @property
    def norm(self) -> nn.BatchNorm2d:
        """The BatchNorm behind the convolution."""
        return self.layers[1]

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias with the BatchNorm in evaluation mode folded in."""
        scale, shift = folded([self.norm])
        return self.weight * scale.unsqueeze(1), self.bias * scale + shift
