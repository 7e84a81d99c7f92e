"""Which frames PYSKL and MMAction2 take of a clip: uniform sampling, with their very draws.

Draws come from NumPy's legacy global generator, as theirs do; in tests from one seeded alike for every clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TEST_SEED = 255


@dataclass(frozen=True)
class Sampling:
    """How clips are taken.

    length: L, frames of each. clips: K. share: of a recording's frames, drawn between the two. test: the rule for
    tests. ratio_drawn: PYSKL draws a number for the share even where there is nothing to choose; MMAction2 has no
    shares. decode: the rules of UniformSampleDecode.
    """

    length: int
    clips: int = 1
    share: tuple[float, float] = (1.0, 1.0)
    test: bool = False
    ratio_drawn: bool = True
    decode: bool = False

    def draw(self, frames: int) -> np.ndarray:
        """Return the frame numbers (K*L) of a recording of so many frames, all below that."""
        draws = Draws(self)
        draws.draw(frames)
        return draws.picked()[0]


class Draws:
    """The draws for recordings, made one after the other; what follows of them is computed at once."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._frames: list[int] = []  # of each clip, as all that follows
        self._used: list[int] = []  # frames that it may show
        self._offsets: list[int] = []  # the first of those
        self._starts: list[int] = []
        self._gaps: dict[int, np.ndarray] = {}  # by clip: after which frames one is left out
        self._shifts: dict[int, np.ndarray] = {}  # by clip: what comes on top of numbers from 0 on

    def draw(self, frames: int) -> None:
        """Draw for the next recording, which has so many frames."""
        rule = self._sampling
        least, most = rule.share
        if rule.test:
            np.random.seed(TEST_SEED)
        for number in range(rule.clips):
            used, offset = frames, 0
            ratio = np.random.rand() if rule.ratio_drawn else 0.0
            if rule.ratio_drawn and least < 1:
                used = max(1, int((ratio * (most - least) + least) * frames))
                offset = np.random.randint(frames - used + 1)  # draws nothing where there is nothing to choose
            self._starts.append(self._one(number, used))
            self._frames.append(frames)
            self._used.append(used)
            self._offsets.append(offset)

    def _one(self, number: int, used: int) -> int:
        """Draw for the next clip, and return the number that it starts from."""
        rule, length = self._sampling, self._sampling.length
        if used < length:
            if rule.test and not rule.decode:
                return number if used < rule.clips else number * used // rule.clips
            return np.random.randint(0, used)
        if used < 2 * length:
            # the draws of choice(length + 1, used - length, replace=False), which takes three times as long
            self._gaps[len(self._starts)] = np.random.permutation(length + 1)[:used - length]
        else:
            bounds = np.arange(length + 1) * used // length
            self._shifts[len(self._starts)] = bounds[:length] + np.random.randint(np.diff(bounds)) - np.arange(length)
        return 0

    def picked(self) -> np.ndarray:
        """Return the frame numbers (N, K*L) of what was drawn for."""
        rule = self._sampling
        numbers = np.array(self._starts)[:, None] + np.arange(rule.length)
        if self._gaps:
            gaps = np.zeros((len(self._gaps), rule.length + 1), np.int64)
            for row, after in zip(gaps, self._gaps.values(), strict=True):
                row[after] = 1
            numbers[list(self._gaps)] += np.cumsum(gaps, axis=1)[:, :rule.length]
        for clip, shift in self._shifts.items():
            numbers[clip] += shift
        if rule.decode:
            numbers %= np.array(self._used)[:, None]
        if any(self._offsets):
            numbers += np.array(self._offsets)[:, None]
        numbers %= np.array(self._frames)[:, None]
        return numbers.reshape(-1, rule.clips * rule.length)
