"""Generated recordings in which one action follows another, to predict from them the action that comes next.

A Markov chain decides which: after every action one other follows with probability `likely`, and each of the rest is
equally likely otherwise. The likely successors make one cycle through all actions, so that all are equally frequent in
the long run, and by itself the label says nothing: chance is 1 / actions. Who recognises the last action that is shown
and knows the chain is right with probability `likely`, and nobody can do better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Chain:
    """Which action follows which, actions counted from 0.

    Attributes:
        successor: (A,) the likely next action of each.
        likely: probability that it follows, more than one in A.
    """

    successor: np.ndarray
    likely: float

    @classmethod
    def make(cls, num_actions: int, likely: float, seed: int) -> Chain:
        """Deal the actions into one cycle, at random."""
        cycle = np.random.default_rng((seed, 5)).permutation(num_actions)
        successor = np.empty(num_actions, np.int64)
        successor[cycle] = np.roll(cycle, -1)
        return cls(successor, likely)

    @property
    def matrix(self) -> np.ndarray:
        """(A, A) float64: probability of the next action, row: the action before."""
        num_actions = len(self.successor)
        matrix = np.full((num_actions, num_actions), (1 - self.likely) / (num_actions - 1))
        matrix[np.arange(num_actions), self.successor] = self.likely
        return matrix

    def best_accuracy(self, steps: int = 1) -> float:
        """Return the best possible accuracy for who knows the action `steps` before the one in question."""
        return float(np.linalg.matrix_power(self.matrix, steps).max(axis=1).mean())

    def draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (length,) actions in a row, the first one evenly from all."""
        actions = [int(rng.integers(len(self.successor)))]
        while len(actions) < length:
            actions.append(int(rng.choice(len(self.successor), p=self.matrix[actions[-1]])))
        return np.array(actions)


def concatenate(clips: Sequence[np.ndarray], centre_joint: int) -> np.ndarray:
    """Return clips (T, M, V, C), y up, one after the other, as one: zeros where a body is absent.

    Each clip is moved along the floor, so that its first person begins where that of the one before has ended.
    """
    joints = np.zeros((sum(map(len, clips)), max(clip.shape[1] for clip in clips), *clips[0].shape[2:]), np.float32)
    start, place = 0, clips[0][0, 0, centre_joint]
    for clip in clips:
        step = (place - clip[0, 0, centre_joint]) * (1, 0, 1)  # x and z
        joints[start:start + len(clip), :clip.shape[1]] = clip + step
        start, place = start + len(clip), clip[-1, 0, centre_joint] + step
    return joints
