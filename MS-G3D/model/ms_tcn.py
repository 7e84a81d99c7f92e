"""MS-G3D's multi-scale temporal convolution: the engine's block, kernel 3, dilations 1 to 4 (section 3.4), on rows.
As equations it is `TemporalUnit` in `model/reference.py`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.reference import DILATIONS, KERNEL_SIZE
from model.temporal_rows import BranchOptions, StridedLinearNorm, TemporalRows, TemporalShape, evaluate_branches
from model.windows import maps_to_rows, rows_to_maps
from skeleton_lab.nn.layers import MultiScaleTemporalConv
from skeleton_lab.nn.norm import Moments, affine, folded, update_running
from skeleton_lab.nn.precision import working_dtype


class TemporalRowsConv(MultiScaleTemporalConv):
    """(B, C_in, T, V) -> (B, C_out, ceil(T / stride), V), six branches and a residual.

    The engine's parameters and results; computed on rows (T*B*V, C), which is how the other operators of MS-G3D lay
    out their tensors: here a shift in time is a range of rows. The output is a view of rows.

    Args:
        activation: end with a ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, *, activation: bool = True) -> None:
        super().__init__(in_channels, out_channels, kernel_size=KERNEL_SIZE, dilations=DILATIONS, stride=stride,
                         residual=True, activation=activation)
        self.stride, self.width = stride, out_channels // len(self.branches)

    def forward(self, x: Tensor) -> Tensor:
        bodies, _, frames, joints = x.shape
        dtype = working_dtype(x)
        rows = maps_to_rows(x).to(dtype)  # (T*B*V, C_in)
        identity = isinstance(self.residual, nn.Identity)
        options = BranchOptions(TemporalShape(frames, bodies * joints, self.stride, self.width), DILATIONS, identity,
                                self.activation, self.branches[0][1].eps)
        residual = None if identity else self._residual_rows(rows, options.shape)
        run = self._train if self.branches[0][1].training else self._evaluate
        return rows_to_maps(run(rows, residual, options), bodies, joints)

    def _residual_rows(self, rows: Tensor, shape: TemporalShape) -> Tensor:
        """Return the residual's strided 1x1 convolution and batch norm of rows (T*B*V, C_in)."""
        weight, bias, norm = self.residual.conv.weight.flatten(1), self.residual.conv.bias, self.residual.bn
        if not norm.training:
            scale, shift = folded([norm])
            weight, bias = weight * scale.unsqueeze(1), bias * scale + shift
            return F.linear(shape.every_stride(rows), weight.to(rows.dtype), bias.to(rows.dtype))
        out, *moments = StridedLinearNorm.apply(rows, weight.to(rows.dtype), bias, norm.weight, norm.bias, shape,
                                                norm.eps)
        update_running([norm], Moments(*moments), len(out), left_out=bias)
        return out

    def _train(self, rows: Tensor, residual: Tensor | None, options: BranchOptions) -> Tensor:
        entries = [branch[0] for branch in self.branches]
        convs = [branch[3].conv for branch in self.branches[:-2]]
        firsts, lasts = self._norm_groups()
        weight1 = torch.cat([conv.weight for conv in entries]).flatten(1).to(rows.dtype)
        left_out = torch.cat([conv.bias for conv in (*entries, *convs)])
        out, *moments = TemporalRows.apply(rows, residual, options, left_out, weight1, *affine(firsts),
                                           *affine(lasts), *(conv.weight.to(rows.dtype) for conv in convs))
        bias1, bias2 = left_out.detach().split([out.shape[1], self.width * len(convs)])
        update_running(firsts, Moments(*moments[:2]), len(rows), left_out=bias1[:-self.width])
        bias2 = torch.cat([bias2, torch.zeros_like(bias1[:self.width]), bias1[-self.width:]])
        update_running(lasts, Moments(*moments[2:]), len(out), left_out=bias2)
        return out

    def _evaluate(self, rows: Tensor, residual: Tensor | None, options: BranchOptions) -> Tensor:
        entries = [branch[0] for branch in self.branches]
        firsts, lasts = self._norm_groups()
        scale, shift = folded([*firsts, lasts[-1]])
        weight = torch.cat([conv.weight for conv in entries]).flatten(1) * scale.unsqueeze(1)
        bias = torch.cat([conv.bias for conv in entries]) * scale + shift
        kernels = []
        for branch in self.branches[:-2]:
            scale, shift = folded([branch[3].bn])
            kernels.append((branch[3].conv.weight * scale.view(-1, 1, 1, 1), branch[3].conv.bias * scale + shift))
        out = evaluate_branches(rows, options, (weight, bias), kernels, folded([lasts[-2]]))
        out += rows if residual is None else residual
        return out.relu_() if self.activation else out

    def _norm_groups(self) -> tuple[list[nn.BatchNorm2d], list[nn.BatchNorm2d]]:
        """Return each branch's norm in front of its ReLU (the last has none), and each branch's last norm."""
        convolved = [branch[3].bn for branch in self.branches[:-2]]
        plain = self.branches[-1][1]
        return [branch[1] for branch in self.branches[:-1]], [*convolved, self.branches[-2][4], plain]
