"""How long a recipe takes on GPUs that are not here: an estimate with its range.

Two models were timed on one card. Another model on another card is taken to take as much longer as it computes more and
the card computes less; or as it moves more and the card moves less, what autograd keeps standing for what is moved.
Which of the two bounds a step differs from model to model and card to card, and so does how much of a card they reach:
the least and the most of all these come to are the range, widened by a fifth: that much it takes for each of the four
steps that were timed to be in the range that the other model gives. Loading data is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skeleton_lab.bench.capacity import MARGIN, Footprint
from skeleton_lab.bench.recipes import NTU60_EPOCH_CLIPS, Recipe


@dataclass(frozen=True)
class Card:
    """A GPU as its maker describes it: memory (10^9 bytes), memory traffic, fp32 arithmetic without tensor cores."""

    name: str
    memory_gb: float
    gb_per_s: float
    tflops: float


CARDS = (Card("RTX 4060, 8 GB", 8, 272, 15.1), Card("T4, 16 GB", 16, 320, 8.1), Card("RTX 3090, 24 GB", 24, 936, 35.6),
         Card("A100, 40 GB", 40, 1555, 19.5), Card("H200, 141 GB", 141, 4800, 67))


@dataclass(frozen=True)
class Timed:
    """A training step at the paper's recipe, as it was timed on `TIMED_ON` (docs/performance.md, "On a GPU").

    GFLOPs are those of a forward pass; kept is what autograd holds, counted by `capacity`.
    """

    model: str
    amp: bool
    ms_per_clip: float
    gflops_per_clip: float
    kept_mib_per_clip: float


TIMED_ON = CARDS[-1]
TIMED = (Timed("CTR-GCN", False, 0.80, 3.56, 41.5), Timed("MS-G3D", False, 5.4, 55.9, 256.2),
         Timed("CTR-GCN", True, 0.73, 3.56, 20.8), Timed("MS-G3D", True, 4.2, 55.9, 142.4))
WIDENED = 1.2
MEMORY_FRIENDLY_LONGER = (1.25, 1.28)  # of the same two steps


@dataclass(frozen=True)
class Stay:
    """How many hours a whole recipe takes on a card, least and most, and whether it takes --memory-friendly there."""

    card: str
    least_h: float
    most_h: float
    memory_friendly: bool


def stays(recipe: Recipe, row: Mapping[str, Any], amp: bool, timed: Sequence[Timed] = TIMED,
          cards: Sequence[Card] = CARDS) -> list[Stay]:
    """Return the estimate for each card.

    Args:
        row: of the model: `gflops_per_clip`, and the `plain_footprint` of a step without recomputation.
    """
    footprint = Footprint(**row["plain_footprint"])
    found = []
    for card in cards:
        least_ms, most_ms = clip_ms(card, row["gflops_per_clip"], footprint.kept_per_clip / 2**20,
                                    [step for step in timed if step.amp == amp])
        friendly = footprint.peak(recipe.forward_batch_size) * (1 + MARGIN) > card.memory_gb * 1e9
        shortest, longest = MEMORY_FRIENDLY_LONGER if friendly else (1.0, 1.0)
        hours = recipe.epochs * NTU60_EPOCH_CLIPS / 3.6e6  # a millisecond a clip
        found.append(Stay(card.name, least_ms * shortest * hours, most_ms * longest * hours, friendly))
    return found


def clip_ms(card: Card, gflops_per_clip: float, kept_mib_per_clip: float,
            timed: Sequence[Timed]) -> tuple[float, float]:
    """Return the least and the most milliseconds of training a clip."""
    by_arithmetic = [step.ms_per_clip * gflops_per_clip / step.gflops_per_clip * TIMED_ON.tflops / card.tflops
                     for step in timed]
    by_traffic = [step.ms_per_clip * kept_mib_per_clip / step.kept_mib_per_clip * TIMED_ON.gb_per_s / card.gb_per_s
                  for step in timed]
    return min(by_arithmetic + by_traffic) / WIDENED, max(by_arithmetic + by_traffic) * WIDENED
