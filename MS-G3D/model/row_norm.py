"""Batch norm over rows (R, C), channels last, that are seen piece by piece.

Rows are float64, float32 or half; what is computed per channel is at least float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skeleton_lab.norm import Moments
from skeleton_lab.synchrony import averaged, of_all_processes

PIECE_NUMBERS_CPU = 1 << 18


class RowMoments:
    """The moments of rows that arrive in pieces."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.means: list[Tensor] = []
        self.variances: list[Tensor] = []

    def add(self, rows: Tensor) -> None:
        """Take in some rows (n, C)."""
        wide = rows.to(torch.promote_types(rows.dtype, torch.float32))
        mean, variance = torch.ops.aten.batch_norm_update_stats(as_image(wide), None, None, 0.0)
        self.counts.append(len(rows))
        self.means.append(mean)
        self.variances.append(variance)

    def total(self) -> Moments:
        """Return mean and biased variance of all rows so far, of all processes."""
        means = torch.stack(self.means)  # (pieces, C)
        shares = means.new_tensor(self.counts).unsqueeze(1) / sum(self.counts)
        mean = (shares * means).sum(dim=0)
        between = (means - mean).square()
        return Moments(*of_all_processes(mean, (shares * (torch.stack(self.variances) + between)).sum(dim=0)))


class RowNorm:
    """Batch norm with given moments, and the gradients through moments that are the rows' own."""

    def __init__(self, weight: Tensor, bias: Tensor, moments: Moments, eps: float) -> None:
        self.mean, self.inverse = moments.mean, (moments.var + eps).rsqrt()
        self.weight, self.bias, self.moments, self.eps = weight, bias, moments, eps
        self.scale = weight * self.inverse
        self.shift = bias - self.mean * self.scale
        self.grad_bias = torch.zeros_like(self.mean)
        self.grad_weight = torch.zeros_like(self.mean)
        self._averaged: tuple[Tensor, ...] = ()  # their means over the processes

    def split(self, width: int) -> list[RowNorm]:
        """Return the norms of `width` channels each."""
        parts = [tensor.split(width) for tensor in (self.weight, self.bias, *self.moments)]
        return [RowNorm(weight, bias, Moments(mean, var), self.eps)
                for weight, bias, mean, var in zip(*parts, strict=True)]

    def apply(self, rows: Tensor, out: Tensor) -> Tensor:
        """Write norm(rows), rows (n, C), to `out` and return that."""
        if out.dtype == self.scale.dtype:
            return torch.addcmul(self.shift, rows, self.scale, out=out)
        return out.copy_(torch.addcmul(self.shift, rows, self.scale))

    def relu(self, rows: Tensor) -> Tensor:
        """Return relu(norm(rows)), rows (n, C)."""
        return torch.addcmul(self.shift, rows, self.scale).relu_().to(rows.dtype)

    def collect(self, grad: Tensor, rows: Tensor) -> None:
        """Add to `grad_weight` and `grad_bias`, given the gradient of norm(rows) for some rows (n, C)."""
        self.grad_bias += grad.sum(dim=0, dtype=self.mean.dtype)
        centred = (rows - self.mean).mul_(grad)
        self.grad_weight.addcmul_(centred.sum(dim=0), self.inverse)

    def backward(self, grad: Tensor, rows: Tensor, count: int) -> Tensor:
        """Return the gradient of some rows, given that of norm(rows), once all `count` rows have been collected.

        grad may be overwritten.
        """
        self._averaged = self._averaged or averaged(self.grad_weight, self.grad_bias)
        grad_weight, grad_bias = self._averaged
        slope = -self.scale * self.inverse * grad_weight / count
        offset = -self.scale * grad_bias / count - slope * self.mean
        if grad.dtype != self.mean.dtype:
            return (grad * self.scale).addcmul_(rows, slope).add_(offset).to(grad.dtype)
        return grad.mul_(self.scale).addcmul_(rows, slope).add_(offset)


def row_pieces(rows: Tensor) -> list[slice]:
    """Return slices of rows (R, C) to work on in turn: of the size of a CPU's cache, or everything on a GPU."""
    step = max(1, len(rows) if rows.is_cuda else PIECE_NUMBERS_CPU // rows.shape[1])
    return [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]


def as_image(rows: Tensor) -> Tensor:
    """View rows (R, C) as an image (1, C, R, 1), channels last, for which the framework's batch norm is fast."""
    return rows.unsqueeze(0).unsqueeze(0).permute(0, 3, 2, 1)


def as_rows(image: Tensor) -> Tensor:
    """(1, C, R, 1), channels last -> (R, C)."""
    return image.permute(0, 3, 2, 1).view(image.shape[2], image.shape[1])
