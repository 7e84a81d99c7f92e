"""MS-G3D's multi-scale temporal convolution: the engine's, with kernel 3 and dilations 1 to 4 (section 3.4)."""

from __future__ import annotations

from skeleton_lab.layers import MultiScaleTemporalConv

__all__ = ["MultiScaleTemporalConv", "ms_tcn"]

KERNEL_SIZE = 3
DILATIONS = (1, 2, 3, 4)


def ms_tcn(in_channels: int, out_channels: int, stride: int = 1, *, activation: bool = True) -> MultiScaleTemporalConv:
    """(B, C_in, T, V) -> (B, C_out, ceil(T / stride), V), six branches and a residual; `activation`: the final ReLU."""
    return MultiScaleTemporalConv(in_channels, out_channels, kernel_size=KERNEL_SIZE, dilations=DILATIONS,
                                  stride=stride, residual=True, activation=activation)
