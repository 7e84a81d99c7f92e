"""The orders in which a multi-scale graph convolution can be computed.
As an equation this is `ScaleAggregation` in `model/reference.py`.

With P_k the adjacency of scale k between the nodes of a window (frame tau, joint v), and W_k the weights of scale k,

    y[tau v, o] = bias[o] + sum over k, sigma, u, c of W_k[o, c] P_k[tau v, sigma u] x[sigma u, c]

Either the nodes are summed first (`AggregateFirst`: the intermediate has K*C_in channels on each of the w*V nodes of
each window), or the channels (`MixFirst`: it has K*C_out channels on the V joints of each frame, which all windows
share). `NarrowFirst` is `AggregateFirst` for so few input channels that the intermediate is small beside y. None
unfolds the windows of wide features: see `windows.py`. The intermediates are for the caller to recompute, not to keep.

Shapes: frames (s, Q, B, V, C_in); stack (K*w*V, w*V), rows (k, tau, v); weight (C_out, K*C_in), columns (k, c);
bias (C_out); y (T'*B*V*w, C_out), rows (t, b, v, tau), so that a joint's frames lie side by side for their collapse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from model.windows import Windows
from skeleton_lab.nn.chunking import all_at_once

# Wide rows are made and used in pieces of about this many numbers: on the CPU they stay in the cache.
PIECE_NUMBERS_CPU = 1 << 18
PIECE_NUMBERS = 1 << 26


class Gradients(NamedTuple):
    """Gradients of frames, stack and weight, in their shapes."""

    frames: Tensor
    stack: Tensor
    weight: Tensor


class Contraction(Protocol):
    """One order, applied to one input: construct(windows, frames, stack, weight, bias)."""

    num_rows: int

    def pieces(self, out: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Yield y piece by piece: (which rows, the rows); views of `out` if that is given."""

    def gradients(self, grad_rows: Callable[[slice], Tensor]) -> Gradients:
        """Return the gradients, given a function that returns some rows of the gradient of y."""


class AggregateFirst:
    """Sum over nodes, then over channels and scales: cheaper for single frames."""

    def __init__(self, windows: Windows, frames: Tensor, stack: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.windows, self.frames, self.weight, self.bias = windows, frames, weight, bias
        w, v = windows.size, frames.shape[3]
        self.num_nodes = w * v
        self.slices = _window_frames(windows, frames)
        self.num_rows = len(self.slices[0]) * self.num_nodes
        self.adjacency = _as_adjacency(stack, windows, v)
        self.blocks = self.adjacency.split(v, dim=1)  # w times ((v, tau, k), u)

    def pieces(self, out: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        for piece in self._pieces():
            rows = _rows(piece, self.num_nodes)
            support = self._support_rows(self._aggregate(piece))
            yield rows, torch.addmm(self.bias, support, self.weight.t(), out=None if out is None else out[rows])

    def gradients(self, grad_rows: Callable[[slice], Tensor]) -> Gradients:
        grad_frames = torch.zeros_like(self.frames)
        grad_slices = _window_frames(self.windows, grad_frames)
        grad_adjacency, grad_weight = accumulator(self.adjacency), accumulator(self.weight)
        grad_blocks = grad_adjacency.split(self.frames.shape[3], dim=1)
        for piece in self._pieces():
            grad = grad_rows(_rows(piece, self.num_nodes))  # (n*V*w, C_out)
            support = self._aggregate(piece)
            add_product(grad_weight, grad.t(), self._support_rows(support))
            torch.mm(grad, self.weight, out=self._support_rows(support))  # from here on, its gradient
            for block, part, grad_part, grad_block in zip(self.blocks, self.slices, grad_slices, grad_blocks,
                                                          strict=True):
                grad_part[piece].baddbmm_(block.t().expand(len(support), -1, -1), support)
                _add_outer_products(grad_block, support, part[piece])
        return Gradients(grad_frames, _as_stack(grad_adjacency, self.windows, self.frames.shape[3]), grad_weight)

    def _aggregate(self, piece: slice) -> Tensor:
        """Return the aggregated nodes (n, V*w*K, C_in) of n windows."""
        batch = piece.stop - piece.start
        support = torch.bmm(self.blocks[0].expand(batch, -1, -1), self.slices[0][piece])
        for block, part in zip(self.blocks[1:], self.slices[1:], strict=True):
            support.baddbmm_(block.expand(batch, -1, -1), part[piece])
        return support

    def _support_rows(self, support: Tensor) -> Tensor:
        """(n, V*w*K, C_in) -> (n*V*w, K*C_in)."""
        return support.view(-1, self.weight.shape[1])

    def _pieces(self) -> list[slice]:
        return _pieces(len(self.slices[0]), len(self.adjacency) * self.frames.shape[4], self.frames)


class NarrowFirst:
    """`AggregateFirst` for few channels: their windows are small enough to unfold, so that it is one product.

    Attributes:
        support: the aggregated nodes (T'*B*V*w, K*C_in).
    """

    def __init__(self, windows: Windows, frames: Tensor, stack: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.windows, self.frames, self.weight, self.bias = windows, frames, weight, bias
        self.num_nodes = windows.size * frames.shape[3]
        self.adjacency = _as_adjacency(stack, windows, frames.shape[3])
        nodes = torch.cat(_window_frames(windows, frames), dim=1)  # (T'*B, w*V, C_in)
        self.unfolded = nodes.transpose(0, 1).flatten(1)  # (w*V, T'*B*C_in)
        support = torch.mm(self.adjacency, self.unfolded).view(-1, len(nodes), frames.shape[4])
        self.support = support.transpose(0, 1).reshape(-1, weight.shape[1])
        self.num_rows = len(self.support)

    def pieces(self, out: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        for rows in self.row_pieces():
            yield rows, torch.addmm(self.bias, self.support[rows], self.weight.t(),
                                    out=None if out is None else out[rows])

    def row_pieces(self) -> list[slice]:
        """Return slices of the rows of y, each a whole number of windows."""
        num_windows = self.num_rows // self.num_nodes
        return [_rows(piece, self.num_nodes)
                for piece in _pieces(num_windows, self.num_nodes * len(self.bias), self.frames)]

    def gradients(self, grad_rows: Callable[[slice], Tensor]) -> Gradients:
        grad_weight, grad_support = accumulator(self.weight), torch.empty_like(self.support)
        for rows in self.row_pieces():
            grad = grad_rows(rows)
            add_product(grad_weight, grad.t(), self.support[rows])
            torch.mm(grad, self.weight, out=grad_support[rows])
        return Gradients(*self.support_gradients(grad_support), grad_weight)

    def support_gradients(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of frames and stack, given that of `support`."""
        v, channels = self.frames.shape[3], self.frames.shape[4]
        grad = grad.view(-1, len(self.adjacency), channels).transpose(0, 1).flatten(1)  # ((v, tau, k), T'*B*C_in)
        grad_adjacency = torch.mm(grad, self.unfolded.t())
        grad_nodes = torch.mm(self.adjacency.t(), grad).view(self.num_nodes, -1, channels).transpose(0, 1)
        grad_frames = torch.zeros_like(self.frames)
        for part, own in zip(_window_frames(self.windows, grad_frames), grad_nodes.split(v, dim=1), strict=True):
            part += own
        return grad_frames, _as_stack(grad_adjacency, self.windows, v)


class MixFirst:
    """Sum over channels for each scale, then over nodes and scales: cheaper for windows of wide features."""

    def __init__(self, windows: Windows, frames: Tensor, stack: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.windows, self.frames, self.bias = windows, frames, bias
        w, v = windows.size, frames.shape[3]
        self.num_nodes, self.num_scales = w * v, stack.shape[0] // (w * v)
        # (K, tau, v, sigma, u) -> (sigma, (v, tau), (u, k))
        self.blocks = stack.view(-1, w, v, w, v).permute(3, 2, 1, 4, 0).reshape(w, v * w, -1)
        c_out, c_in = weight.shape[0], frames.shape[4]
        self.weight = weight.view(c_out, -1, c_in).permute(2, 1, 0).reshape(c_in, -1)  # (C_in, (k, o))
        mixed = torch.mm(frames.view(-1, c_in), self.weight)  # (s*Q*B*V, K*C_out)
        self.mixed = mixed.view(*frames.shape[:3], v * self.num_scales, c_out)
        self.slices = _window_frames(windows, self.mixed)  # w times (T'*B, V*K, C_out)
        self.num_rows = len(self.slices[0]) * self.num_nodes

    def pieces(self, out: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        for piece in self._pieces():
            rows, batch = _rows(piece, self.num_nodes), piece.stop - piece.start
            y = self.mixed.new_empty(batch * self.num_nodes, len(self.bias)) if out is None else out[rows]
            y.copy_(self.bias)
            for block, part in zip(self.blocks, self.slices, strict=True):
                y.view(batch, self.num_nodes, -1).baddbmm_(block.expand(batch, -1, -1), part[piece])
            yield rows, y

    def gradients(self, grad_rows: Callable[[slice], Tensor]) -> Gradients:
        grad_blocks, grad_mixed = accumulator(self.blocks), torch.zeros_like(self.mixed)
        grad_slices = _window_frames(self.windows, grad_mixed)
        for piece in self._pieces():
            grad = grad_rows(_rows(piece, self.num_nodes)).view(piece.stop - piece.start, self.num_nodes, -1)
            for block, part, grad_part, grad_block in zip(self.blocks, self.slices, grad_slices, grad_blocks,
                                                          strict=True):
                grad_part[piece].baddbmm_(block.t().expand(len(grad), -1, -1), grad)
                _add_outer_products(grad_block, grad, part[piece])
        grad_mixed_rows = grad_mixed.view(-1, self.weight.shape[1])  # (s*Q*B*V, K*C_out)
        rows = self.frames.view(len(grad_mixed_rows), -1)
        grad_weight = torch.mm(grad_mixed_rows.t(), rows).view(self.num_scales, len(self.bias), -1)  # (K, C_out, C_in)
        grad_frames = torch.mm(grad_mixed_rows, self.weight.t()).view_as(self.frames)
        w, v = self.windows.size, self.frames.shape[3]
        grad_stack = grad_blocks.view(w, v, w, v, self.num_scales).permute(4, 2, 1, 0, 3).reshape(-1, w * v)
        return Gradients(grad_frames, grad_stack, grad_weight.transpose(0, 1).flatten(1))

    def _pieces(self) -> list[slice]:
        return _pieces(len(self.slices[0]), self.num_nodes * len(self.bias), self.frames)


def best_order(windows: Windows, num_joints: int, weight: Tensor, c_in: int) -> type[Contraction]:
    """Return the order with the fewest multiplications, forward and backward, recomputation included."""
    c_out, num_scales = weight.shape[0], weight.shape[1] // c_in
    if 2 * weight.shape[1] <= c_out:
        return NarrowFirst
    per_channel = windows.size * num_scales * windows.size * num_joints
    aggregate_first = 4 * per_channel * c_in + 3 * windows.size * num_scales * c_in * c_out
    mix_first = 3 * per_channel * c_out + 4 * windows.stride * num_scales * c_in * c_out
    return AggregateFirst if aggregate_first <= mix_first else MixFirst


def accumulator(like: Tensor) -> Tensor:
    """Return zeros to sum a gradient in, at least in float32."""
    return torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a @ b."""
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


def _add_outer_products(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total (P, R) += the sum over n of a[n] @ b[n]^T, of a (N, P, C) and b (N, R, C)."""
    if all_at_once(a):  # each product by itself, added up in single precision: nothing wide is copied
        total += torch.bmm(a, b.transpose(1, 2)).sum(dim=0, dtype=total.dtype)
    elif total.dtype == a.dtype:
        total.addbmm_(a, b.transpose(1, 2))
    else:  # one product, whose sum is in single precision
        add_product(total, a.transpose(0, 1).flatten(1), b.transpose(0, 1).flatten(1).t())


def _window_frames(windows: Windows, frames: Tensor) -> list[Tensor]:
    """Return the frames of all windows, w times (T'*B, ...)."""
    return [windows.frame(frames, tau) for tau in range(windows.size)]


def _as_adjacency(stack: Tensor, windows: Windows, num_joints: int) -> Tensor:
    """((k, tau, v), (sigma, u)) -> ((v, tau, k), (sigma, u))."""
    w, v = windows.size, num_joints
    return stack.view(-1, w, v, w * v).permute(2, 1, 0, 3).reshape(-1, w * v)


def _as_stack(adjacency: Tensor, windows: Windows, num_joints: int) -> Tensor:
    """((v, tau, k), (sigma, u)) -> ((k, tau, v), (sigma, u))."""
    w, v = windows.size, num_joints
    return adjacency.view(v, w, -1, w * v).permute(2, 1, 0, 3).reshape(-1, w * v)


def _pieces(num_windows: int, numbers_each: int, on: Tensor) -> list[slice]:
    """Return slices of the windows, of about as many numbers as fit the cache of the device of `on`."""
    limit = PIECE_NUMBERS if all_at_once(on) else PIECE_NUMBERS_CPU
    step = max(1, limit // numbers_each)
    return [slice(start, min(start + step, num_windows)) for start in range(0, num_windows, step)]


def _rows(windows: slice, num_nodes: int) -> slice:
    """Return the rows of y that belong to a slice of the windows."""
    return slice(windows.start * num_nodes, windows.stop * num_nodes)
