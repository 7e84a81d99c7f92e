"""The two orders in which a multi-scale graph convolution can be computed.

With P_k the adjacency of scale k between the nodes of a window (frame tau, joint v), and W_k the weights of scale k,

    y[tau v, o] = bias[o] + sum over k, sigma, u, c of W_k[o, c] P_k[tau v, sigma u] x[sigma u, c]

Either the nodes are summed first (`AggregateFirst`: the intermediate has K*C_in channels on each of the w*V nodes of
each window), or the channels (`MixFirst`: it has K*C_out channels on the V joints of each frame, which all windows
share). Both are recomputed for the gradients instead of kept. Neither unfolds the windows: see `windows.py`.

Shapes: frames (s, Q, B, V, C_in); stack (K*w*V, w*V), rows (k, tau, v); weight (C_out, K*C_in), columns (k, c);
bias (C_out); y (T'*B*V*w, C_out), rows (t, b, v, tau), so that a joint's frames lie side by side for their collapse.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.windows import Windows

# Intermediates are made and used in pieces of about this many numbers: on the CPU they stay in the cache.
CHUNK_NUMBERS_CPU = 1 << 19
CHUNK_NUMBERS = 1 << 26
# Below this, products for single frames are too narrow to be fast.
NARROW_CHANNELS = 16


class Gradients(NamedTuple):
    """Gradients of the four inputs, in their shapes."""

    frames: Tensor
    stack: Tensor
    weight: Tensor
    bias: Tensor


class AggregateFirst:
    """Sum over nodes, then over channels and scales: cheaper for single frames, and where C_in is small."""

    def __init__(self, windows: Windows, frames: Tensor, stack: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.windows, self.frames, self.weight, self.bias = windows, frames, weight, bias
        w, v = windows.size, frames.shape[3]
        self.num_nodes = w * v
        # (K, tau, v, sigma, u) -> ((v, tau, k), (sigma, u))
        self.adjacency = stack.view(-1, w, v, w * v).permute(2, 1, 0, 3).reshape(-1, w * v)

    def output(self) -> Tensor:
        """Return y."""
        slices = self._slices(self.frames)
        y = self.frames.new_empty(len(slices[0]) * self.num_nodes, len(self.bias))
        for chunk in self._chunks(len(slices[0])):
            support = self._aggregation([part[chunk] for part in slices]).output()
            rows = slice(chunk.start * self.num_nodes, chunk.stop * self.num_nodes)
            torch.addmm(self.bias, self._rows(support), self.weight.t(), out=y[rows])
        return y

    def gradients(self, grad: Tensor) -> Gradients:
        """Return the gradients, given that of y."""
        slices = self._slices(self.frames)
        grad = grad.view(len(slices[0]), self.num_nodes, -1)  # (T'*B, V*w, C_out)
        grad_frames = torch.zeros_like(self.frames)
        grad_slices = self._slices(grad_frames)
        grad_adjacency, grad_weight = _accumulator(self.adjacency), _accumulator(self.weight)
        for chunk in self._chunks(len(grad)):
            aggregation = self._aggregation([part[chunk] for part in slices])
            support = aggregation.output()
            grad_rows = grad[chunk].flatten(0, 1)  # (n*V*w, C_out)
            _add_product(grad_weight, grad_rows.t(), self._rows(support))
            torch.mm(grad_rows, self.weight, out=self._rows(support))
            aggregation.add_gradients(support, [part[chunk] for part in grad_slices], grad_adjacency)
        w, v = self.windows.size, self.frames.shape[3]
        grad_stack = grad_adjacency.view(v, w, -1, w * v).permute(2, 1, 0, 3).reshape(-1, w * v)
        return Gradients(grad_frames, grad_stack, grad_weight, grad.sum((0, 1)))

    def _aggregation(self, parts: list[Tensor]) -> _SplitAggregation | _NarrowAggregation:
        narrow = self.frames.shape[4] < NARROW_CHANNELS
        return (_NarrowAggregation if narrow else _SplitAggregation)(self.adjacency, parts)

    def _slices(self, frames: Tensor) -> list[Tensor]:
        """Return the frames of all windows, w times (T'*B, V, C_in)."""
        return [self.windows.frame(frames, tau) for tau in range(self.windows.size)]

    def _rows(self, support: Tensor) -> Tensor:
        """(n, V*w*K, C_in) -> (n*V*w, K*C_in)."""
        return support.view(-1, self.weight.shape[1])

    def _chunks(self, total: int) -> list[slice]:
        limit = CHUNK_NUMBERS_CPU if self.frames.device.type == "cpu" else CHUNK_NUMBERS
        step = max(1, limit // (len(self.adjacency) * self.frames.shape[4]))
        return [slice(start, min(start + step, total)) for start in range(0, total, step)]


class _SplitAggregation:
    """The aggregated nodes of n windows, given as their frames, w times (n, V, C_in): a product for each frame."""

    def __init__(self, adjacency: Tensor, parts: list[Tensor]) -> None:
        self.parts, self.batch = parts, len(parts[0])
        self.blocks = adjacency.split(parts[0].shape[1], dim=1)

    def output(self) -> Tensor:
        """Return (n, V*w*K, C_in)."""
        support = torch.bmm(self.blocks[0].expand(self.batch, -1, -1), self.parts[0])
        for block, part in zip(self.blocks[1:], self.parts[1:], strict=True):
            support.baddbmm_(block.expand(self.batch, -1, -1), part)
        return support

    def add_gradients(self, grad: Tensor, grad_parts: list[Tensor], grad_adjacency: Tensor) -> None:
        """Add to the gradients of the parts and of the adjacency, given that of the output."""
        grad_blocks = grad_adjacency.split(self.blocks[0].shape[1], dim=1)
        for block, part, grad_part, grad_block in zip(self.blocks, self.parts, grad_parts, grad_blocks, strict=True):
            grad_part.baddbmm_(block.t().expand(self.batch, -1, -1), grad)
            _add_batched_product(grad_block, grad, part.transpose(1, 2))


class _NarrowAggregation:
    """The same as one product over all windows: for few channels, whose windows are small enough to unfold."""

    def __init__(self, adjacency: Tensor, parts: list[Tensor]) -> None:
        self.adjacency, self.batch, self.channels = adjacency, len(parts[0]), parts[0].shape[2]
        self.unfolded = torch.cat(parts, dim=1).transpose(0, 1).flatten(1)  # (w*V, n*C_in)

    def output(self) -> Tensor:
        """Return (n, V*w*K, C_in)."""
        support = torch.mm(self.adjacency, self.unfolded).view(-1, self.batch, self.channels)
        return support.transpose(0, 1).contiguous()

    def add_gradients(self, grad: Tensor, grad_parts: list[Tensor], grad_adjacency: Tensor) -> None:
        """Add to the gradients of the parts and of the adjacency, given that of the output."""
        grad = grad.transpose(0, 1).flatten(1)  # (V*w*K, n*C_in)
        _add_product(grad_adjacency, grad, self.unfolded.t())
        grad_unfolded = torch.mm(self.adjacency.t(), grad).view(-1, self.batch, self.channels).transpose(0, 1)
        for grad_part, grad_own in zip(grad_parts, grad_unfolded.split(grad_parts[0].shape[1], dim=1), strict=True):
            grad_part += grad_own


class MixFirst:
    """Sum over channels for each scale, then over nodes and scales: cheaper for windows of wide features."""

    def __init__(self, windows: Windows, frames: Tensor, stack: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.windows, self.frames, self.bias = windows, frames, bias
        self.num_joints = frames.shape[3]
        w, v = windows.size, self.num_joints
        self.num_scales = stack.shape[0] // (w * v)
        # (K, tau, v, sigma, u) -> (sigma, (v, tau), (u, k))
        self.blocks = stack.view(-1, w, v, w, v).permute(3, 2, 1, 4, 0).reshape(w, v * w, -1)
        c_out, c_in = weight.shape[0], frames.shape[4]
        self.weight = weight.view(c_out, -1, c_in).permute(2, 1, 0).reshape(c_in, -1)  # (C_in, (k, o))
        rows = frames.view(-1, c_in)  # (s*Q*B*V, C_in)
        self.mixed = torch.mm(rows, self.weight).view(*frames.shape[:3], v * self.num_scales, c_out)

    def output(self) -> Tensor:
        """Return y."""
        parts = [self.windows.frame(self.mixed, tau) for tau in range(self.windows.size)]  # w times (T'*B, V*K, C_out)
        batch, nodes = len(parts[0]), self.blocks.shape[1]
        y = self.bias.expand(batch * nodes, -1).contiguous()
        for block, part in zip(self.blocks, parts, strict=True):
            y.view(batch, nodes, -1).baddbmm_(block.expand(batch, -1, -1), part)
        return y

    def gradients(self, grad: Tensor) -> Gradients:
        """Return the gradients, given that of y. Overwrites what `output` needs."""
        s, q, b, nodes, c_out = self.mixed.shape
        grad = grad.view(-1, self.blocks.shape[1], c_out)  # (T'*B, V*w, C_out)
        grad_blocks = _accumulator(self.blocks)
        by_node = self.mixed.permute(3, 0, 1, 2, 4).reshape(nodes, s, q, b * c_out)  # (V*K, s, Q, B*C_out)
        grad_by_node = grad.transpose(0, 1).reshape(grad.shape[1], -1)  # (V*w, T'*B*C_out)
        places = grad.shape[0] // b
        for tau in range(self.windows.size):
            first = tau // s
            part = by_node[:, tau % s, first:first + places].flatten(1)
            _add_product(grad_blocks[tau], grad_by_node, part.t())
        del by_node, grad_by_node
        grad_mixed = self.mixed.zero_()
        for tau, block in enumerate(self.blocks):
            self.windows.frame(grad_mixed, tau).baddbmm_(block.t().expand(len(grad), -1, -1), grad)
        grad_rows = grad_mixed.view(-1, self.num_scales * c_out)  # (s*Q*B*V, K*C_out)
        rows = self.frames.view(len(grad_rows), -1)
        grad_weight = torch.mm(grad_rows.t(), rows).view(self.num_scales, c_out, -1)  # (K, C_out, C_in)
        grad_frames = torch.mm(grad_rows, self.weight.t()).view_as(self.frames)
        return Gradients(grad_frames, self._as_stack(grad_blocks), grad_weight.transpose(0, 1).flatten(1),
                         grad.sum((0, 1)))

    def _as_stack(self, blocks: Tensor) -> Tensor:
        w, v = self.windows.size, self.num_joints
        return blocks.view(w, v, w, v, self.num_scales).permute(4, 2, 1, 0, 3).reshape(-1, w * v)


def cheaper_order(windows: Windows, num_joints: int, num_scales: int, c_in: int,
                  c_out: int) -> type[AggregateFirst] | type[MixFirst]:
    """Return the order with fewer multiplications for a joint, forward and backward, recomputation included."""
    nodes = windows.size * num_joints
    aggregate, mix = windows.size * num_scales * nodes * c_in, windows.size * num_scales * c_in * c_out
    first = 4 * aggregate + 3 * mix
    aggregate, mix = windows.size * num_scales * nodes * c_out, windows.stride * num_scales * c_in * c_out
    return AggregateFirst if first <= 3 * aggregate + 4 * mix else MixFirst


def _accumulator(like: Tensor) -> Tensor:
    """Return zeros to sum a gradient in, at least in float32."""
    return torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a @ b."""
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


def _add_batched_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += the sum over the batch of a @ b."""
    if total.dtype == a.dtype and a.device.type == "cpu":
        total.addbmm_(a, b)
    else:  # one launch; the sum over windows in the precision of `total`
        total += torch.bmm(a, b).sum(dim=0, dtype=total.dtype)
