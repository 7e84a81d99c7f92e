"""The share of a clip that is observed: what counts as one, for flags, configs and feeders alike."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any


def share_range(observe: float | Sequence[float]) -> tuple[float, float]:
    """Return the least and the most of a share that is observed: one number in (0, 1], or two in ascending order.

    Raises:
        ValueError: it is neither.
    """
    shares: list[Any] = list(observe) if isinstance(observe, list | tuple) else [observe]
    if (len(shares) not in (1, 2) or not all(isinstance(share, Real) and not isinstance(share, bool)
                                             and 0 < float(share) <= 1 for share in shares)
            or shares != sorted(shares)):
        raise ValueError("expected a share in (0, 1], or two in ascending order")
    return float(shares[0]), float(shares[-1])
