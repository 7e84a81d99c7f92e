"""A trained model as standard operators, for inference only: what an exporter can follow.

The models compute in formulations of their own (buffers, pieces, written-out gradients), which no exporter traces with
lengths left open. Here each such unit becomes its plain equivalent, batch norms folded in: the engine's units below,
a tree's by a method `plain()` that returns a module with the same call. Units without one stay as they are.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.nn.layers import MultiScaleTemporalConv, PointwiseConvNorm
from skeleton_lab.nn.model import is_memory_friendly
from skeleton_lab.nn.norm import folded


def plain_inference(model: nn.Module) -> nn.Module:
    """Return a copy of `model`, in evaluation mode and without gradients, made of standard operators.

    The same results up to rounding; `model` stays as it is.
    """
    plain: Any = copy.deepcopy(model).eval().requires_grad_(False)
    if is_memory_friendly(plain):
        plain.set_memory_friendly(False)
    with torch.no_grad():
        return _replaced(plain).eval().requires_grad_(False)


def _replaced(module: Any) -> Any:
    """Return the plain equivalent of a unit, or the module itself with its parts replaced."""
    if hasattr(module, "plain"):
        return module.plain()
    if isinstance(module, MultiScaleTemporalConv):
        return PlainTemporal(module)
    if isinstance(module, PointwiseConvNorm):
        return folded_pointwise(module.conv, module.bn, module.stride, module.time_axis)
    for name, child in module.named_children():
        setattr(module, name, _replaced(child))
    return module


def folded_pointwise(conv: nn.Conv2d, norm: nn.BatchNorm2d, stride: int, time_axis: int) -> nn.Conv2d:
    """Return a 1x1 convolution, strided along the time axis (2 or 3), with the batch norm behind it folded in."""
    return convolution(*_folded(conv, norm), stride=along_time(stride, time_axis))


def along_time(time: int, time_axis: int, joints: int = 1) -> tuple[int, int]:
    """Return a geometry of (T, V) or, with time axis 3, of (V, T)."""
    return (time, joints) if time_axis == 2 else (joints, time)


def convolution(weight: Tensor, bias: Tensor | None, **geometry: Any) -> nn.Conv2d:
    """Return a convolution with these weights, (C_out, C_in, k, k') or (C_out, C_in); geometry as `nn.Conv2d`."""
    weight = weight if weight.dim() == 4 else weight[..., None, None]
    made = nn.Conv2d(weight.shape[1], weight.shape[0], (weight.shape[2], weight.shape[3]), bias=bias is not None,
                     dtype=weight.dtype, device=weight.device, **geometry)
    made.weight.copy_(weight)
    if made.bias is not None and bias is not None:
        made.bias.copy_(bias)
    return made


def _folded(conv: Any, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution with the batch norm behind it folded in."""
    scale, shift = folded([norm])
    return conv.weight * scale.view(-1, 1, 1, 1), conv.bias * scale + shift


class PlainTemporal(nn.Module):
    """`MultiScaleTemporalConv` in evaluation mode, same call: (B, C_in, T, V), or with time axis 3 (B, C_in, V, T)."""

    def __init__(self, unit: Any) -> None:
        super().__init__()
        axis, stride = unit.plan.time_axis, unit.plan.stride
        *active, last = unit.branches
        heads: list[Any] = [folded_pointwise(branch[0], branch[1], 1, axis) for branch in active]
        self.widths = [head.out_channels for head in heads]
        self.head = convolution(torch.cat([head.weight for head in heads]), torch.cat([head.bias for head in heads]))
        self.convs = nn.ModuleList([_temporal(branch[3].conv, branch[3].bn, axis) for branch in active[:-1]])
        self.pool = nn.MaxPool2d(along_time(3, axis), along_time(stride, axis), along_time(1, axis, joints=0))
        scale, shift = folded([active[-1][4]])
        self.register_buffer("pool_scale", scale.view(-1, 1, 1))
        self.register_buffer("pool_shift", shift.view(-1, 1, 1))
        self.last = folded_pointwise(last[0], last[1], stride, axis)
        self.residual = None if unit.residual is None else _replaced(unit.residual)
        self.activation = unit.activation

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        *convolved, pooled = torch.relu(self.head(x)).split(self.widths, dim=1)
        parts = [conv(part) for conv, part in zip(self.convs, convolved, strict=True)]
        parts += [self.pool(pooled) * self.pool_scale + self.pool_shift, self.last(x)]
        out = torch.cat(parts, dim=1)
        if self.residual is not None:
            shortcut = self.residual(x)
        out = out if shortcut is None else out + shortcut
        return torch.relu(out) if self.activation else out


def _temporal(conv: Any, norm: nn.BatchNorm2d, axis: int) -> nn.Conv2d:
    """Return a (k, 1) convolution over time along `axis`, with the batch norm behind it folded in."""
    weight, bias = _folded(conv, norm)
    return convolution(weight if axis == 2 else weight.transpose(2, 3), bias, stride=along_time(conv.stride[0], axis),
                       padding=along_time(int(conv.padding[0]), axis, joints=0),
                       dilation=along_time(conv.dilation[0], axis))


def every_stride(x: Tensor, stride: int, time_axis: int = 2) -> Tensor:
    """Return the frames of x at multiples of `stride`; as a pool, whose length exporters know to be a convolution's."""
    return x if stride == 1 else F.max_pool2d(x, 1, along_time(stride, time_axis))
