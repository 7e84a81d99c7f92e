"""Batch norm over rows (R, C), channels last, that are seen piece by piece.
In `model/reference.py` it is the framework's `BatchNorm2d`.

Rows are float64, float32 or half; what is computed per channel is at least float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skeleton_lab.nn.chunking import all_at_once
from skeleton_lab.nn.norm import Moments, normalize
from skeleton_lab.nn.norm_kernels import gradient_sums, through_moments
from skeleton_lab.nn.synchrony import averaged, of_all_processes

PIECE_NUMBERS_CPU = 1 << 18


class PiecedMoments:
    """The moments of rows that arrive in pieces."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.means: list[Tensor] = []
        self.variances: list[Tensor] = []

    def add(self, rows: Tensor) -> None:
        """Take in some rows (n, C)."""
        if not rows.is_cuda:  # where half is summed in single precision as it is read
            rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        mean, variance = torch.batch_norm_update_stats(as_image(rows), None, None, 0.0)
        self.counts.append(len(rows))
        self.means.append(mean)
        self.variances.append(variance)

    def total(self) -> Moments:
        """Return mean and biased variance of all rows so far, of all processes."""
        if len(self.means) == 1:
            return Moments(*of_all_processes(self.means[0], self.variances[0]))
        shares = [count / sum(self.counts) for count in self.counts]
        mean = sum(share * own for share, own in zip(shares, self.means, strict=True))
        var = sum(share * (own_var + (own - mean).square())
                  for share, own, own_var in zip(shares, self.means, self.variances, strict=True))
        return Moments(*of_all_processes(mean, var))


class RowNorm:
    """Batch norm with given moments, and the gradients through moments that are the rows' own.

    On a GPU the framework's kernels do the work, which want contiguous rows; on a CPU simpler operators are faster.

    Attributes:
        grad_weight, grad_bias: (C), what `collect` has summed.
    """

    def __init__(self, weight: Tensor, bias: Tensor, moments: Moments, eps: float) -> None:
        self.mean, self.inverse = moments.mean, (moments.var + eps).rsqrt()
        self.weight, self.bias, self.moments, self.eps = weight, bias, moments, eps
        self.scale = weight * self.inverse
        self.shift = bias - self.mean * self.scale
        self.grad_bias = torch.zeros_like(self.mean)
        self.grad_weight = torch.zeros_like(self.mean)
        self._averaged: tuple[Tensor, ...] = ()  # their means over the processes

    def split(self, width: int) -> list[RowNorm]:
        """Return the norms of `width` channels each, which add to the gradients of this one."""
        names = ("weight", "bias", "grad_weight", "grad_bias")
        parts = [tensor.split(width) for tensor in (*(getattr(self, name) for name in names), *self.moments)]
        norms = []
        for weight, bias, grad_weight, grad_bias, *moments in zip(*parts, strict=True):
            norms.append(RowNorm(weight, bias, Moments(*moments), self.eps))
            norms[-1].grad_weight, norms[-1].grad_bias = grad_weight, grad_bias
        return norms

    def apply(self, rows: Tensor, out: Tensor) -> Tensor:
        """Write norm(rows), rows (n, C), to `out` and return that."""
        if out.dtype == self.scale.dtype:
            return torch.addcmul(self.shift, rows, self.scale, out=out)
        return out.copy_(self._normalized(rows))

    def relu(self, rows: Tensor) -> Tensor:
        """Return relu(norm(rows)), rows (n, C)."""
        return self._normalized(rows).relu_().to(rows.dtype)

    def _normalized(self, rows: Tensor) -> Tensor:
        """Return norm(rows); of half rows on a CPU in single precision."""
        if rows.is_cuda:
            return as_rows(normalize(as_image(rows), self.weight, self.bias, self.moments, self.eps))
        return torch.addcmul(self.shift, rows, self.scale)

    def collect(self, grad: Tensor, rows: Tensor) -> None:
        """Add to `grad_weight` and `grad_bias`, given the gradient of norm(rows) for some rows (n, C)."""
        if rows.is_cuda:
            sums, products = gradient_sums(as_image(grad), as_image(rows), self.mean, self.inverse)
        else:
            sums, products = grad.sum(dim=0, dtype=self.mean.dtype), (rows - self.mean).mul_(grad).sum(dim=0)
        self.grad_bias += sums
        self.grad_weight.addcmul_(products, self.inverse)

    def backward(self, grad: Tensor, rows: Tensor, count: int) -> Tensor:
        """Return the gradient of some rows, given that of norm(rows), once all `count` rows have been collected."""
        self._averaged = self._averaged or averaged(self.grad_weight, self.grad_bias)
        grad_weight, grad_bias = self._averaged
        if rows.is_cuda:
            return as_rows(through_moments(as_image(grad), as_image(rows), self.weight, self.mean, self.inverse,
                                           grad_bias, grad_weight / self.inverse, count))
        slope = -self.scale * self.inverse * grad_weight / count
        offset = -self.scale * grad_bias / count - slope * self.mean
        return (grad * self.scale).addcmul_(rows, slope).add_(offset).to(grad.dtype)


def row_pieces(rows: Tensor) -> list[slice]:
    """Return slices of rows (R, C) to work on in turn: of the size of a CPU's cache, or everything on a GPU."""
    step = max(1, len(rows) if all_at_once(rows) else PIECE_NUMBERS_CPU // rows.shape[1])
    return [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]


def as_image(rows: Tensor) -> Tensor:
    """View rows (R, C) as an image (1, C, R, 1), channels last, for which the framework's batch norm is fast."""
    return rows.unsqueeze(0).unsqueeze(0).permute(0, 3, 2, 1)


def as_rows(image: Tensor) -> Tensor:
    """(1, C, R, 1), channels last -> (R, C)."""
    return image.permute(0, 3, 2, 1).view(image.shape[2], image.shape[1])
