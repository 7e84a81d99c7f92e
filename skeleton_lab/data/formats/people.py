"""Who is who: people whom each frame lists in any order, followed over time.

    tracks = assign_people(detections, numbers)            # for each listed frame (P,) int64: which person each one is
    frames, confidence = placed(detections, numbers, tracks)   # (T, M, V, C), (T, M, V)

`detections[f]` is (P, V, C + 1) float: P people in that frame, C coordinates and the confidence of each joint, 0 where
it was not seen; P may be 0. `numbers[f]` is the frame's number, ascending: frames that are not listed are a gap, over
which people are followed too. Needs NumPy and SciPy, and nothing of PyTorch. Live pictures: `Follower.update`.

Two poses are alike by object keypoint similarity (COCO): the mean over the joints seen in both of exp(-d^2 / (2 s^2
k^2)), d their distance, s the person's size. k is one for all joints here, wide enough for the steps that people take
between frames, and wider over a gap. A person is expected where a steady walk leads. Linear assignment then finds the
best pairs of a frame all at once, and once more with twice the width of those who are left. What has a similarity of
less than `Following.least` is somebody new; who was not seen for `Following.longest_gap` frames is not waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Following:
    """How people are followed.

    width: k of the similarity from one frame to the next, in sizes of a person. widening: how much wider for each frame
    more in between, up to `widest`. least: similarity of a pair. longest_gap, longest_walk: frames that somebody is
    waited for, and for which the walk is thought to go on.
    """

    width: float = 0.25
    widening: float = 0.05
    widest: float = 1.0
    least: float = 0.1
    longest_gap: int = 90
    longest_walk: int = 15


@dataclass
class _Track:
    """One person: where last seen (V, C + 1), when, and the steps a frame (C,)."""

    number: int
    pose: np.ndarray
    seen: int
    step: np.ndarray = field(default_factory=lambda: np.zeros(0))
    sightings: int = 1

    def expected(self, frame: int, rules: Following) -> np.ndarray:
        """Return (V, C): where the person would be in a frame."""
        return np.asarray(self.pose[:, :-1] + self.step * min(frame - self.seen, rules.longest_walk))

    def see(self, pose: np.ndarray, frame: int) -> None:
        """Note a sighting; joints that it lacks stay where they were expected."""
        both = (pose[:, -1] > 0) & (self.pose[:, -1] > 0)
        passed = frame - self.seen
        if both.any():
            moved = np.median(pose[both, :-1] - self.pose[both, :-1], axis=0) / passed
            self.step = moved if self.sightings == 1 else 0.5 * self.step + 0.5 * moved
        known = np.where(pose[:, -1:] > 0, pose, self.pose)
        self.pose, self.seen = known, frame
        self.sightings += 1


class Follower:
    """Follows people from frame to frame; knows nothing of frames to come, so that it can follow live ones."""

    def __init__(self, rules: Following | None = None) -> None:
        self.rules = rules or Following()
        self.num_people = 0
        self._tracks: list[_Track] = []

    def update(self, people: np.ndarray, frame: int) -> np.ndarray:
        """Return which person each one is, (P,) int64, numbered from 0 as they appear.

        Args:
            people: (P, V, C + 1) coordinates and confidence, finite. frame: its number, above the last one's.
        """
        ids = np.full(len(people), -1, np.int64)
        self._tracks = [track for track in self._tracks if frame - track.seen <= self.rules.longest_gap]
        for wider in (1, 2):  # who is left then may have made a leap
            self._pair(people, frame, ids, wider)
        for place in np.flatnonzero(ids < 0):
            ids[place] = self.num_people
            self._tracks.append(_Track(self.num_people, np.array(people[place], np.float64), frame,
                                       np.zeros(people.shape[2] - 1)))
            self.num_people += 1
        return ids

    def _pair(self, people: np.ndarray, frame: int, ids: np.ndarray, wider: int) -> None:
        """Find, of people without an id, those who are known and not seen yet in this frame; fill in `ids`."""
        places = np.flatnonzero(ids < 0)
        waiting = [track for track in self._tracks if track.seen < frame]
        if not len(places) or not waiting:
            return
        from scipy.optimize import linear_sum_assignment  # seconds, which a file without several people need not wait

        similar = np.stack([_similarity(track.expected(frame, self.rules), track.pose, people[places],
                                        wider * self._width(frame - track.seen)) for track in waiting])
        for number, place in zip(*linear_sum_assignment(similar, maximize=True), strict=True):
            if similar[number, place] >= self.rules.least:
                ids[places[place]] = waiting[number].number
                waiting[number].see(people[places[place]], frame)

    def _width(self, passed: int) -> float:
        return min(self.rules.width + self.rules.widening * (passed - 1), self.rules.widest)


def _similarity(expected: np.ndarray, pose: np.ndarray, people: np.ndarray, width: float) -> np.ndarray:
    """Return (P,): how alike each of `people` is to a person who is expected at (V, C)."""
    both = (people[..., -1] > 0) & (pose[:, -1] > 0)  # (P, V)
    size = max(size_of(pose[None])[0], 1e-12)
    squares = ((people[..., :-1] - expected) ** 2).sum(axis=2)  # (P, V)
    alike = np.exp(-squares / (2 * (size * width) ** 2))
    return np.asarray((alike * both).sum(axis=1) / np.maximum(both.sum(axis=1), 1))


def size_of(people: np.ndarray) -> np.ndarray:
    """Return (P,): the diagonal of the box around each person's joints, of people (P, V, C + 1)."""
    seen = people[..., -1:] > 0
    low = np.where(seen, people[..., :-1], np.inf).min(axis=1)
    high = np.where(seen, people[..., :-1], -np.inf).max(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt((np.where(high >= low, high - low, 0) ** 2).sum(axis=1)))


def assign_people(detections: Sequence[np.ndarray], numbers: Sequence[int],
                  rules: Following | None = None) -> list[np.ndarray]:
    """Return for each listed frame (P,) int64: which person each one is, numbered from 0 as they appear."""
    follower = Follower(rules)
    return [follower.update(people, number) for people, number in zip(detections, numbers, strict=True)]


def placed(detections: Sequence[np.ndarray], numbers: Sequence[int], tracks: Sequence[np.ndarray],
           num_frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return people by frame and person: (T, M, V, C) float64 and the confidences (T, M, V), zeros where nobody is.

    T is `num_frames`, or one more than the last number; M at least 1. There must be a detection, to tell V and C.
    """
    joints, channels = detections[0].shape[1:]
    most = max((int(track.max()) + 1 for track in tracks if len(track)), default=1)
    length = num_frames if num_frames is not None else numbers[-1] + 1
    clip = np.zeros((length, most, joints, channels))
    for people, number, track in zip(detections, numbers, tracks, strict=True):
        clip[number, track] = people
    return clip[..., :-1], clip[..., -1]


def most_relevant(frames: np.ndarray, confidence: np.ndarray | None, count: int = 2) -> list[int]:
    """Return the places of the `count` people who matter most (`by_relevance`), in ascending order."""
    return sorted(by_relevance(frames, confidence)[:count])


def by_relevance(frames: np.ndarray, confidence: np.ndarray | None) -> list[int]:
    """Return the places of people, who matters most first.

    By how surely and how long each is seen, and by how much they move in sizes of their own: a picture on the wall is
    seen surely, too. frames: (T, M, V, C); confidence: (T, M, V) or None.
    """
    sure = (frames != 0).any(axis=3).astype(float) if confidence is None else np.maximum(confidence, 0)
    weights = [_weight(frames[:, person], sure[:, person]) for person in range(frames.shape[1])]
    order: list[int] = np.argsort(-np.array(weights), kind="stable").tolist()
    return order


def _weight(frames: np.ndarray, sure: np.ndarray) -> float:
    """Return how much a person (T, V, C) matters."""
    present = (sure > 0).any(axis=1)
    if not present.any():
        return 0.0
    seen = sure[present] > 0  # (t, V)
    size = float(np.median(size_of(np.concatenate([frames[present], sure[present][..., None]], axis=2))))
    counts = np.maximum(seen.sum(axis=0), 1)[:, None]
    mean = (frames[present] * seen[..., None]).sum(axis=0) / counts
    spread = np.sqrt((((frames[present] - mean) * seen[..., None]) ** 2).sum(axis=(0, 2)) / counts[:, 0]).mean()
    return float(sure.mean(axis=1).sum() * (0.1 + min(1.0, spread / max(size, 1e-12))))
