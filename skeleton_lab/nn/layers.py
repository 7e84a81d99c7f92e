"""Units that more than one model uses, with operators of their own.
As equations they are in `skeleton_lab/nn/reference.py`: the same parameters, the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.errors import UserError
from skeleton_lab.nn import reference
from skeleton_lab.nn.norm import Moments, affine, folded, update_running
from skeleton_lab.nn.pointwise import PointwiseNorm, pointwise, strided_frames
from skeleton_lab.nn.precision import working_dtype
from skeleton_lab.nn.prepared import prepared
from skeleton_lab.nn.temporal import (
    BranchPlan,
    FoldedBranches,
    NormedTemporalBranches,
    TemporalBranches,
    folded_branches,
)

TEMPORAL_NORM_STD = 0.02


def init_he_fan_out(conv: nn.Conv1d | nn.Conv2d) -> None:
    """Draw weights from N(0, 2 / (out_channels * kernel area)) and set the bias to zero, in place."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def init_batch_norm(norm: nn.BatchNorm2d, scale: float = 1.0) -> None:
    """Set the weight to `scale` and the bias to zero, in place."""
    nn.init.constant_(norm.weight, scale)
    nn.init.zeros_(norm.bias)


def init_temporal(unit: nn.Module) -> None:
    """Set convolutions to He (fan-out), batch norms to about one, in place, as CTR-GCN's temporal units have them."""
    for module in unit.modules():
        if isinstance(module, nn.Conv2d):
            init_he_fan_out(module)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, TEMPORAL_NORM_STD)
            nn.init.zeros_(module.bias)


def bodies_to_batch(clips: Tensor, data_bn: nn.BatchNorm1d, same_moments: bool = False) -> Tensor:
    """Normalise every (body, joint, coordinate) over the batch and time; make bodies part of the batch.

    Args:
        clips: (N, C, T, V, M) float.
        data_bn: batch norm over M*V*C features, the coordinate fastest, then the joint.
        same_moments: it is over V*C features, and all bodies, absent ones too, are taken together.

    Returns:
        (N*M, C, T, V), the body fastest in the batch axis.
    """
    if clips.ndim != 5:
        raise UserError(f"clips have 5 axes (N, C, T, V, M), these have {clips.ndim}: {tuple(clips.shape)}; "
                        "check the feeder")
    n, c, t, v, m = clips.shape
    bodies = 1 if same_moments else m
    if bodies * v * c != data_bn.num_features:
        raise UserError(f"clips of {c} coordinates, {v} joints and {m} bodies do not fit a model built for "
                        f"{data_bn.num_features} numbers a frame; check num_point, num_person and in_channels")
    features = clips.permute(0, 4, 3, 1, 2).reshape(n * m // bodies, bodies * v * c, t)  # (N, M*V*C, T)
    features = data_bn(features)
    return features.view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d, stride: int = 1, time_axis: int = 2) -> Tensor:
    """Return norm(conv(every stride-th frame of x)) for a 1x1 convolution with bias, keeping only x for the gradients.

    In evaluation mode the norm is folded into the convolution.
    """
    assert conv.bias is not None
    dtype = working_dtype(x)
    x = x.to(dtype)
    if not norm.training:
        weight, bias = prepared((conv, norm), dtype, lambda: _folded_pointwise(conv, norm, dtype))
        return pointwise(weight, strided_frames(x, stride, time_axis)).add_(bias)
    out, *moments = PointwiseNorm.apply(x, conv.weight.flatten(1).to(dtype), conv.bias, norm.weight, norm.bias,
                                        norm.eps, stride, time_axis)
    update_running([norm], Moments(*moments), out.numel() // out.shape[1], left_out=conv.bias)
    return out


def _folded_pointwise(conv: nn.Conv2d, norm: nn.BatchNorm2d, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the weight (C_out, C_in) and bias (C_out, 1, 1) of a 1x1 convolution with its norm folded in."""
    assert conv.bias is not None
    scale, shift = folded([norm])
    weight, bias = conv.weight.flatten(1) * scale.unsqueeze(1), conv.bias * scale + shift
    return weight.to(dtype), bias.to(dtype).view(-1, 1, 1)


class PointwiseConvNorm(reference.PointwiseConvNorm):
    """1x1 convolution, strided over time, and batch norm, keeping only its input for the gradients.

    The reference's results; with `time_axis` 3, T and V change places, in and out.
    """

    written_by_hand = True  # not for torch.compile, see `train.compiling`

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, time_axis: int = 2) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.stride = stride
        self.time_axis = time_axis

    def forward(self, x: Tensor) -> Tensor:
        return conv_norm(x, self.conv, self.bn, self.stride, self.time_axis)

    def standard_forward(self, x: Tensor) -> Tensor:
        """The same by standard operators, which exporters follow."""
        return _frames_before_joints(super().forward, self.time_axis, x)


@dataclass(frozen=True)
class NormInFront:
    """What a temporal unit takes the place of: relu(norm(x) + shortcut).

    moments: of x. kept: a tensor and a bias (B, C) or None that the shortcut is the sum of, to keep in its place.
    """

    norm: nn.BatchNorm2d
    moments: Moments
    shortcut: Tensor
    kept: tuple[Tensor | None, Tensor | None] = (None, None)


class MultiScaleTemporalConv(reference.MultiScaleTemporalConv):
    """The reference's branches as one operator (see `temporal`): arguments and results are the reference's.

    Args:
        time_axis: 2, or 3 for (B, C, V, T) in and out.
    """

    written_by_hand = True  # not for torch.compile, see `train.compiling`
    residual_unit = PointwiseConvNorm

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, dilations: Sequence[int],
                 stride: int = 1, residual: bool, activation: bool, time_axis: int = 2, uneven: bool = False,
                 repeat_ends: bool = False) -> None:
        super().__init__(in_channels, out_channels, kernel_size=kernel_size, dilations=dilations, stride=stride,
                         residual=residual, activation=activation, uneven=uneven, repeat_ends=repeat_ends)
        if isinstance(self.residual, PointwiseConvNorm):
            self.residual.time_axis = time_axis
        eps = self._parts()[0][1].eps
        self.plan = BranchPlan(kernel_size, tuple(dilations), stride, time_axis, activation, eps, repeat_ends)

    def standard_forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """The same by standard operators, which exporters follow."""
        return super().forward(x, shortcut)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the branches plus the residual, or plus `shortcut` where this unit has none of its own."""
        if self.residual is not None:
            shortcut = self.residual(x)
        return (self._train if self.trains else self._evaluate)(x, shortcut)

    @property
    def trains(self) -> bool:
        """Whether its norms take the moments of the batch."""
        return bool(self._parts()[0][1].training)

    def _side_by_side(self, x: Tensor) -> Tensor:
        return _frames_before_joints(super()._side_by_side, self.plan.time_axis, x)

    def _parts(self) -> list[Any]:
        """Return the branches, of which only `__init__` says what modules they consist of."""
        return list(self.branches)

    def _norms(self) -> tuple[list[nn.BatchNorm2d], list[nn.BatchNorm2d]]:
        """Return each branch's norm in front of its ReLU (the last has none), and each branch's last norm."""
        branches = self._parts()
        firsts = [branch[1] for branch in branches]
        convolved = [branch[3].bn for branch in branches[:-2]]
        return firsts[:-1], [*convolved, branches[-2][4], firsts[-1]]

    def after_norm(self, x: Tensor, front: NormInFront, shortcut: Tensor | None) -> Tensor:
        """Return `forward` of relu(norm(x) + a shortcut), in training mode: nothing of that sum is kept."""
        return self._train(x, shortcut, front)

    def _train(self, x: Tensor, shortcut: Tensor | None, front: NormInFront | None = None) -> Tensor:
        dtype = working_dtype(x)
        branches = self._parts()
        pointwise = [branch[0] for branch in branches]
        convs = [branch[3].conv for branch in branches[:-2]]
        norms1, norms2 = self._norms()
        bias1 = torch.cat([conv.bias for conv in pointwise])
        bias2 = torch.cat([conv.bias for conv in convs])
        weight1 = torch.cat([conv.weight for conv in pointwise]).flatten(1)
        operator: type[torch.autograd.Function] = TemporalBranches if front is None else NormedTemporalBranches
        before = () if front is None else (front.norm.weight, front.norm.bias, *front.moments, front.shortcut,
                                           *front.kept)
        out, *moments = operator.apply(
            x.to(dtype), *before, shortcut, self.plan, weight1.to(dtype), bias1, *affine(norms1), *affine(norms2),
            bias2, *(conv.weight.to(dtype) for conv in convs))
        width = norms2[-1].num_features
        update_running(norms1, Moments(*moments[:2]), x.numel() // x.shape[1], left_out=bias1[:-width])
        left_out = torch.cat([bias2, torch.zeros_like(bias1[:width]), bias1[-width:]])
        update_running(norms2, Moments(*moments[2:]), out.numel() // out.shape[1], left_out=left_out)
        return out

    def _evaluate(self, x: Tensor, shortcut: Tensor | None) -> Tensor:
        dtype = working_dtype(x)
        out = folded_branches(x.to(dtype), self.plan, prepared((self.branches,), dtype, lambda: self._folded(dtype)))
        out = out if shortcut is None else out.add_(shortcut)
        return out.relu_() if self.plan.activation else out

    def _folded(self, dtype: torch.dtype) -> FoldedBranches:
        """Return the branches' convolutions with the batch norms folded into them."""
        branches = self._parts()
        pointwise = [branch[0] for branch in branches]
        norms1, norms2 = self._norms()
        scale, shift = folded([*norms1, norms2[-1]])
        weight = torch.cat([conv.weight for conv in pointwise]).flatten(1) * scale.unsqueeze(1)
        bias = torch.cat([conv.bias for conv in pointwise]) * scale + shift
        convs, folds = [branch[3].conv for branch in branches[:-2]], [folded([norm]) for norm in norms2[:-2]]
        kernels = [conv.weight * scale.view(-1, 1, 1, 1) for conv, (scale, _) in zip(convs, folds, strict=True)]
        shifts = [conv.bias * scale + shift for conv, (scale, shift) in zip(convs, folds, strict=True)]
        pool_scale, pool_shift = (vector.to(dtype).view(-1, 1, 1) for vector in folded(norms2[-2:-1]))
        return FoldedBranches(weight.to(dtype), bias.to(dtype).unsqueeze(1), [kernel.to(dtype) for kernel in kernels],
                              [shift.to(dtype) for shift in shifts], pool_scale, pool_shift)


def _frames_before_joints(forward: Callable[[Tensor], Tensor], time_axis: int, x: Tensor) -> Tensor:
    """Apply a function of (B, C, T, V) to x that has T on axis `time_axis`, and return the same layout."""
    return forward(x) if time_axis == 2 else forward(x.transpose(2, 3)).transpose(2, 3)
