"""A bounded run of the reader's fuzzer; `python -m tests.fuzz.skeleton_reader` runs it at length."""

from __future__ import annotations

import random

from tests.fuzz.skeleton_reader import SEEDS, check, mutate


def test_seeds_are_recordings() -> None:
    assert all(check(seed) for seed in SEEDS)


def test_mutated_recordings_are_read_or_refused() -> None:
    outcomes = [check(mutate(random.Random(number))) for number in range(3000)]
    assert 100 < sum(outcomes) < 2900
