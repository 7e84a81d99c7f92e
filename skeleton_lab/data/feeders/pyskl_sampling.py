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
        draws = Draws(self, 1)
        draws.draw(frames)
        return draws.picked()[0]


class Draws:
    """The draws for recordings, made one after the other; what follows of them is computed at once."""

    def __init__(self, sampling: Sampling, count: int) -> None:
        self._sampling = sampling
        rows, length = count * sampling.clips, sampling.length
        self._row = 0
        self._sizes = np.ones((3, rows), np.int64)  # of each clip: frames, frames that are used of them, from which on
        self._starts = np.zeros(rows, np.int64)
        self._between: list[tuple[int, np.ndarray]] = []  # what comes on top of numbers from 0 on
        self._gaps = np.zeros((rows, length + 1), np.int64)
        self._gapped: list[int] = []

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
            self._sizes[:, self._row] = frames, used, offset
            self._one(number, used)
            self._row += 1

    def _one(self, number: int, used: int) -> None:
        rule, length = self._sampling, self._sampling.length
        if used < length:
            if rule.test and not rule.decode:
                self._starts[self._row] = number if used < rule.clips else number * used // rule.clips
            else:
                self._starts[self._row] = np.random.randint(0, used)
        elif used < 2 * length:
            # the draws of choice(length + 1, used - length, replace=False), which takes three times as long
            self._gaps[self._row, np.random.permutation(length + 1)[:used - length]] = 1
            self._gapped.append(self._row)
        else:
            bounds = np.arange(length + 1) * used // length
            shift = np.random.randint(np.diff(bounds))
            self._between.append((self._row, bounds[:length] + shift - np.arange(length)))

    def picked(self) -> np.ndarray:
        """Return the frame numbers (N, K*L) of what was drawn for."""
        rule = self._sampling
        frames, used, offset = (column[:, None] for column in self._sizes)
        numbers = self._starts[:, None] + np.arange(rule.length)
        if self._gapped:
            numbers[self._gapped] += np.cumsum(self._gaps[self._gapped], axis=1)[:, :rule.length]
        for row, shift in self._between:
            numbers[row] += shift
        if rule.decode:
            numbers %= used
        return ((numbers + offset) % frames).reshape(-1, rule.clips * rule.length)
