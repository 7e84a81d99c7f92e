"""Hours on GPUs that are not here: the range holds what was timed, even where the model in question was left out."""

from __future__ import annotations

import pytest

from skeleton_lab.bench.cards import CARDS, TIMED, TIMED_ON, Card, clip_ms, stays
from skeleton_lab.bench.recipes import NTU60_EPOCH_CLIPS, RECIPES

MIB = 2**20
FOOTPRINT = {"standing": 0, "gradients": 0, "kept_base": 0, "kept_per_clip": 40 * MIB, "peak_base": 0,
             "peak_per_clip": 100 * MIB}


@pytest.mark.parametrize("step", TIMED, ids=lambda step: f"{step.model}, {'mixed' if step.amp else 'fp32'}")
def test_a_step_that_was_timed_is_in_the_range_that_the_other_one_gives(step):
    others = [other for other in TIMED if other.amp == step.amp and other.model != step.model]
    least, most = clip_ms(TIMED_ON, step.gflops_per_clip, step.kept_mib_per_clip, others)
    assert least <= step.ms_per_clip <= most


def test_half_a_card_takes_twice_as_long_and_one_that_is_too_small_recomputes():
    half = Card("half", 8, TIMED_ON.gb_per_s / 2, TIMED_ON.tflops / 2)
    row = {"gflops_per_clip": 3.6, "plain_footprint": FOOTPRINT}
    whole, slow = stays(RECIPES["ctrgcn"], row, amp=False, cards=[TIMED_ON, half])
    assert not whole.memory_friendly and not slow.memory_friendly  # 64 clips of 100 MiB
    assert (slow.least_h, slow.most_h) == pytest.approx((2 * whole.least_h, 2 * whole.most_h))
    tight = stays(RECIPES["stgcn"], row, amp=False, cards=[half])[0]  # 128 clips
    assert tight.memory_friendly
    assert tight.least_h / slow.least_h == pytest.approx(1.25 * RECIPES["stgcn"].epochs / RECIPES["ctrgcn"].epochs)


def test_hours_are_those_of_all_epochs_and_every_card_has_them():
    row = {"gflops_per_clip": 3.56, "plain_footprint": FOOTPRINT | {"kept_per_clip": 41.5 * MIB}}
    found = stays(RECIPES["ctrgcn"], row, amp=False)
    assert [stay.card for stay in found] == [card.name for card in CARDS]
    timed_h = 0.8e-3 * NTU60_EPOCH_CLIPS * 65 / 3600
    assert found[-1].least_h <= timed_h <= found[-1].most_h and all(s.least_h < s.most_h for s in found)
