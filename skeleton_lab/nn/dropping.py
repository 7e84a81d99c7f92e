"""What training leaves out at random: branches of single clips (drop path), and weights of attention, a bit for each.

Both are drawn before they are needed and kept, a flag for a clip and a bit for a weight, so that the backward pass can
compute again what the forward pass computed. All draws come from PyTorch's generator of the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def rising_rates(last: float, branches: int) -> list[float]:
    """Return rates that rise evenly from 0 to `last`, one for each block in order."""
    return [last * number / max(branches - 1, 1) for number in range(branches)]


def draw_kept_clips(count: int, rate: float, like: Tensor) -> Tensor:
    """Draw the factors (N,) of a branch, in the dtype of `like`: 0 with probability `rate`, else 1 / (1 - rate).

    Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, by the clip.
    """
    return torch.empty(count, dtype=like.dtype, device=like.device).bernoulli_(1 - rate).div_(1 - rate)


class DropPath(nn.Module):
    """Leave out a branch (N, ...) for some clips of a training batch, and scale it up for the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        return x * draw_kept_clips(len(x), self.rate, x).view(-1, *[1] * (x.dim() - 1))

    def extra_repr(self) -> str:
        return f"{self.rate:g}"


def draw_kept_weights(shape: Sequence[int], rate: float, device: torch.device) -> Tensor:
    """Draw which of the weights of each clip stay, (N, ceil(weights of a clip / 8)) uint8: a bit each, low bits first.

    shape: N, and the shape of a clip's weights. A bit is 0 with probability `rate`.
    """
    size = -(-math.prod(shape[1:]) // 8)
    if rate == 0.5:  # any random bit will do, and 64 come at a time
        words = torch.empty(shape[0], -(-size // 8), dtype=torch.int64, device=device)
        return words.random_(-2**63, None).view(torch.uint8)[:, :size]
    kept = torch.empty(shape[0], size, 8, device=device).bernoulli_(1 - rate).to(torch.uint8)
    return kept.mul_(torch.tensor([1 << bit for bit in range(8)], dtype=torch.uint8, device=device)).sum(
        dim=2, dtype=torch.uint8)


def kept_weights(bits: Tensor, shape: Sequence[int], dtype: torch.dtype, value: float = 1) -> Tensor:
    """Return what `draw_kept_weights` drew as (N, ...) `shape`: 0 for a weight that is dropped, else `value`.

    `bits` may be those of some clips.
    """
    numbers = torch.arange(256, device=bits.device)[:, None]
    table = (numbers >> torch.arange(8, device=bits.device) & 1).to(dtype).mul_(value)  # (256, 8)
    ones = table.index_select(0, bits.flatten().int()).view(len(bits), -1)
    return ones[:, :math.prod(shape[1:])].reshape(*shape)
