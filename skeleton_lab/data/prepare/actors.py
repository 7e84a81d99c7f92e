"""Who acts in an NTU recording, as CTR-GCN's published archives have it: bodies, denoising, actors, translation.

A Kinect sees more bodies than there are people: furniture, ghosts, one person under two ids. These heuristics
(from VA-CNN, Zhang et al., TPAMI 2019, and used by CTR-GCN, Chen et al., ICCV 2021) keep one or two. Published
accuracies rest on them, so what is odd about them is kept, and noted where it stands.

Frames of an actor are rows of 75 float32 numbers, joint after joint, x y z each; two actors make 150.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeleton_lab.data.formats.sightings import Sightings
from skeleton_lab.data.formats.skeleton_file import NUM_JOINTS

ACTOR_VALUES = 3 * NUM_JOINTS

MAX_NOISE_FRAMES = 11  # a body seen in no more frames than this is noise
_MAX_SPREAD = 0.8  # a body wider than this share of its height is not standing as people do
NOISY_RATE = 0.69754  # a body too wide in this share of its frames, or more, is noise
_SPINE_MIDDLE = slice(3, 6)  # the columns of the joint that becomes the origin


@dataclass(frozen=True, eq=False)
class Body:
    """What one body id did: `joints` (f, 25, 3) float32 in metres, in frames `first` to `first` + f - 1.

    The frames of a body that left and came back are moved together, as if it had not left.
    """

    body_id: str
    first: int
    joints: np.ndarray

    @property
    def last(self) -> int:
        """The last frame."""
        return self.first + len(self.joints) - 1


@dataclass(frozen=True, eq=False)
class Scene:
    """A recording without its empty frames: `num_frames` frames, `bodies` in the order in which they appeared.

    dropped: (D,) int64, the frames of the recording in which there was no body.
    """

    num_frames: int
    bodies: tuple[Body, ...]
    dropped: np.ndarray


def collect_bodies(recording: Sightings) -> Scene:
    """Gather a recording's sightings by body id and drop the frames without a body."""
    occupied = np.zeros(recording.num_frames, bool)
    occupied[recording.frames] = True
    frames = (np.cumsum(occupied) - 1)[recording.frames]
    num_frames = int(occupied.sum())
    joints = recording.joints.astype(np.float32)
    sightings: dict[str, list[int]] = {}
    for sighting, body_id in enumerate(recording.body_ids):
        sightings.setdefault(body_id, []).append(sighting)
    bodies = []
    for body_id, numbers in sightings.items():
        first = int(frames[numbers[0]])
        # An id that appears twice in one frame takes up two frames; what then does not fit at the end is left out.
        bodies.append(Body(body_id, first, joints[numbers[:num_frames - first]]))
    return Scene(num_frames, tuple(bodies), np.flatnonzero(~occupied))


def choose_actors(scene: Scene) -> np.ndarray:
    """Return the frames of a scene's actors: (f, 75) for one actor, (f, 150) for two, float32.

    If only one body was ever seen, f is the scene's number of frames. Otherwise frames of nothing but zeros are left
    out.

    Raises:
        ValueError: the scene has no body.
    """
    if not scene.bodies:
        raise ValueError("a scene without bodies has no actors")
    if len(scene.bodies) == 1:
        return _place(scene.num_frames, scene.bodies[0])
    bodies = _by_motion(_without_noise(scene.bodies))
    rows = _place(scene.num_frames, bodies[0]) if len(bodies) == 1 else _place_two(scene.num_frames, bodies)
    return rows[rows.sum(axis=1) != 0]


def translate(rows: np.ndarray) -> np.ndarray | None:
    """Move the scene so that the first actor's spine middle, in its first frame, is the origin.

    Frames in which one of two actors is missing stay zero for that actor; a single actor's do not.

    Args:
        rows: (f, 75) or (f, 150) float32.

    Returns:
        A new array like `rows`, or None if the first actor is nowhere.
    """
    present = (rows[:, :ACTOR_VALUES] != 0).any(axis=1)
    if not present.any():
        return None
    origin = rows[present.argmax(), _SPINE_MIDDLE]
    moved = rows - np.tile(origin, rows.shape[1] // 3)
    if rows.shape[1] > ACTOR_VALUES:
        for columns in (slice(None, ACTOR_VALUES), slice(ACTOR_VALUES, None)):
            moved[rows[:, columns].sum(axis=1) == 0, columns] = 0
    return moved


def _without_noise(bodies: tuple[Body, ...]) -> list[tuple[Body, float]]:
    """Return the bodies that look like people, each with how much it moves."""
    kept = [body for body in bodies if len(body.joints) > MAX_NOISE_FRAMES]
    kept = kept or [max(bodies, key=lambda body: len(body.joints))]
    motions = {body.body_id: motion(body.joints) for body in kept}
    for body in tuple(kept):
        if len(kept) == 1:
            break
        upright = upright_frames(body.joints)
        if upright.all():
            continue
        if (~upright).mean() >= NOISY_RATE:
            kept.remove(body)
        else:
            motions[body.body_id] = min(motions[body.body_id], motion(body.joints[upright]))
    return [(body, motions[body.body_id]) for body in kept]


def motion(joints: np.ndarray) -> float:
    """Return the variance of all joints over all frames (f, 25, 3), summed over x, y and z, in square metres."""
    return float(joints.reshape(-1, 3).var(axis=0).sum())


def upright_frames(joints: np.ndarray) -> np.ndarray:
    """Return (f,) bool: in which frames a body (f, 25, 3) is not too wide for its height."""
    width, height = (np.ptp(joints[..., axis], axis=1).astype(np.float64) for axis in (0, 1))
    return width <= _MAX_SPREAD * height


def _by_motion(bodies: list[tuple[Body, float]]) -> list[Body]:
    return [body for body, _ in sorted(bodies, key=lambda entry: entry[1], reverse=True)]


def _place(num_frames: int, body: Body) -> np.ndarray:
    rows = np.zeros((num_frames, ACTOR_VALUES), np.float32)
    rows[body.first:body.last + 1] = body.joints.reshape(-1, ACTOR_VALUES)
    return rows


def _place_two(num_frames: int, bodies: list[Body]) -> np.ndarray:
    """Give each body, the liveliest first, to the first actor who is free while it was there; drop it if none is."""
    rows = np.zeros((num_frames, 2 * ACTOR_VALUES), np.float32)
    first_actor, second_actor = rows[:, :ACTOR_VALUES], rows[:, ACTOR_VALUES:]
    first_actor[bodies[0].first:bodies[0].last + 1] = bodies[0].joints.reshape(-1, ACTOR_VALUES)
    busy = [(bodies[0].first, bodies[0].last), (0, 0)]
    for body in bodies[1:]:
        for number, actor in enumerate((first_actor, second_actor)):
            start, end = busy[number]
            if min(end, body.last) - max(start, body.first) <= 0:  # intervals that share one frame count as apart
                actor[body.first:body.last + 1] = body.joints.reshape(-1, ACTOR_VALUES)
                # The second actor's interval starts at frame 0, whenever its first body came.
                busy[number] = (min(start, body.first), max(end, body.last))
                break
    return rows
