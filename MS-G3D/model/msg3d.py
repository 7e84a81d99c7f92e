"""MS-G3D (Liu et al., CVPR 2020), with operators of its own.
As equations it is in `model/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

from torch import Tensor

from model import reference
from model.ms_gcn import MultiScaleGraphConv
from model.ms_tcn import TemporalRowsConv
from model.operators import Norm
from model.windows import rows_to_maps
from skeleton_lab.nn.norm import Moments, folded, update_running


class MS_G3D(reference.Pathway):
    """The reference's pathway of one window size: (B, C_in, T, V) -> rows (T'*B*V, C_out)."""

    aggregation_unit = MultiScaleGraphConv

    def forward(self, x: Tensor) -> Tensor:
        weight = self.out_conv.weight.flatten(2).transpose(1, 2).flatten(1)  # (C_out, w*C)
        bias, norm = self.out_conv.bias, self.out_bn
        if not norm.training:
            scale, shift = folded([norm])
            return self.gcn3d["1"].aggregate(x, weight * scale.unsqueeze(1), bias * scale + shift)
        rows = self.gcn3d["1"].aggregate(x, weight, bias)
        rows, *moments = Norm.apply(rows, norm.weight, norm.bias, norm.eps)
        update_running([norm], Moments(*moments), len(rows))
        return rows


class MultiWindowG3D(reference.MultiWindow):
    """The reference's sum of pathways: (B, C_in, T, V) -> (B, C_out, T', V)."""

    pathway_unit = MS_G3D

    def forward(self, x: Tensor) -> Tensor:
        return rows_to_maps(super().forward(x), len(x), x.shape[3])


class Model(reference.Model):
    """MS-G3D: arguments and results are those of `model.reference.Model`."""

    reference = reference.Model
    aggregation_unit, windows_unit, temporal_unit = MultiScaleGraphConv, MultiWindowG3D, TemporalRowsConv
    fused = True
