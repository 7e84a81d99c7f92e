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
        if self.test:
            np.random.seed(TEST_SEED)
        return np.concatenate([self._one(number, frames) for number in range(self.clips)]) % frames

    def _one(self, number: int, frames: int) -> np.ndarray:
        used, offset = frames, 0
        if self.ratio_drawn:
            least, most = self.share
            used = max(1, int((np.random.rand() * (most - least) + least) * frames))
            offset = np.random.randint(frames - used + 1)
        picked = self._picked(number, used)
        return (picked % used if self.decode else picked) + offset

    def _picked(self, number: int, used: int) -> np.ndarray:
        length = self.length
        if used < length:
            if self.test and not self.decode:
                start = number if used < self.clips else number * used // self.clips
            else:
                start = np.random.randint(0, used)
            return np.arange(start, start + length)
        if used < 2 * length:
            gaps = np.zeros(length + 1, np.int64)
            gaps[np.random.choice(length + 1, used - length, replace=False)] = 1
            return np.arange(length) + np.cumsum(gaps)[:length]
        bounds = np.array([number * used // length for number in range(length + 1)])
        return bounds[:length] + np.random.randint(np.diff(bounds))
