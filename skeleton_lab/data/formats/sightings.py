"""Bodies as a sensor lists them, frame by frame: what a `.skeleton` file holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TRACKED = 2


@dataclass(frozen=True)
class Sightings:
    """A list of sightings, one for each body in each frame, in file order.

    num_frames: F, frames without a body included. frames: (K,) int64, the frame of each sighting, ascending.
    slots: (K,) int64, its place among the bodies of that frame. body_ids: K strings of digits (they exceed 64 bits).
    joints: (K, 25, 3) float64, camera coordinates in metres: x to the sensor's left, y up, z away from the sensor.
    tracking: (K, 25) uint8, 0 not tracked, 1 inferred, 2 tracked.
    """

    num_frames: int
    frames: np.ndarray
    slots: np.ndarray
    body_ids: tuple[str, ...]
    joints: np.ndarray
    tracking: np.ndarray

    @property
    def bodies(self) -> tuple[str, ...]:
        """The ids, each once, in the order of appearance."""
        return tuple(dict.fromkeys(self.body_ids))

    def by_body(self) -> np.ndarray:
        """Return (T, M, 25, 3) float32, one body for each of `bodies`, zeros where it is absent."""
        numbers = {body_id: number for number, body_id in enumerate(self.bodies)}
        clip = np.zeros((self.num_frames, max(1, len(numbers)), *self.joints.shape[1:]), np.float32)
        clip[self.frames, [numbers[body_id] for body_id in self.body_ids]] = self.joints
        return clip

    def between(self, start: int, stop: int) -> Sightings:
        """Return frames `start` to `stop` - 1 as a recording of its own."""
        seen = (self.frames >= start) & (self.frames < stop)
        return Sightings(stop - start, self.frames[seen] - start, self.slots[seen],
                         tuple(np.array(self.body_ids, object)[seen]), self.joints[seen], self.tracking[seen])


def sightings_of(clip: np.ndarray, body_ids: Sequence[str] | None = None) -> Sightings:
    """Return bodies (T, M, 25, 3) in metres as sightings: where not all joints of a body are zero, it is seen."""
    frames, bodies = np.nonzero((clip != 0).any(axis=(2, 3)))  # ordered by frame
    names = [str(body + 1) for body in range(clip.shape[1])] if body_ids is None else body_ids
    joints = clip[frames, bodies].astype(np.float64)
    tracking = np.full(joints.shape[:2], TRACKED, np.uint8)
    return Sightings(len(clip), frames, np.arange(len(frames)) - np.searchsorted(frames, frames),
                     tuple(names[body] for body in bodies.tolist()), joints, tracking)
