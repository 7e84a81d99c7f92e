"""The backward pass of batch norm on a GPU, by the kernels of PyTorch's synchronised batch norm.

The framework's own backward kernel gives each channel to one block of threads, and a model of 64 channels keeps half of
a large GPU idle. Here the sums of a channel are taken in parts, a block for each, and the rest is element-wise.

Tensors are (B, C, ...) contiguous, or channels last, on a GPU; float64, float32 or half. What is per channel, (C), is
float64 or float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MOST_PARTS = 32  # of a channel: 64 channels then fill a GPU of 2048 blocks


def gradient_sums(grad: Tensor, x: Tensor, mean: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums over all axes but C of grad, and of grad * (x - mean), each (C).

    Args:
        inverse: 1 / sqrt(var + eps); the kernel asks for it.
    """
    parts = math.gcd(len(x), MOST_PARTS)
    folded = (len(x) // parts, parts * x.shape[1])  # a part of the batch is as many more channels
    if parts > 1:
        grad, x = grad.reshape(*folded, -1), x.reshape(*folded, -1)
    sums, products, *_ = torch.batch_norm_backward_reduce(grad, x, mean.repeat(parts), inverse.repeat(parts), None,
                                                          True, False, False)
    return sums.view(parts, -1).sum(dim=0), products.view(parts, -1).sum(dim=0)


def through_moments(grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor, sums: Tensor,
                    products: Tensor, count: int) -> Tensor:
    """Return the gradient of x, given that of its batch norm, whose moments are those of x.

    Args:
        sums, products: of the whole batch, as `gradient_sums` returns them. count: its values per channel.
    """
    counts = torch.full((1,), count, dtype=torch.int32, device=x.device)
    return torch.batch_norm_backward_elemt(grad, x, mean, inverse, weight, sums, products, counts)
