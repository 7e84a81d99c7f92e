"""Procedural recordings in the manner of NTU RGB+D: 25 joints in metres, y up, seen from one of three cameras.

A recording follows from its sample name and a seed alone, in whatever order recordings are made. The action decides
how joints turn over time (`synthetic_actions`); the performer brings limb lengths, posture, vigour and tempo; the
repetition its own timing; setup and camera the view; and the sensor adds noise and holds joints where it loses them.
A stand-in for data that cannot be shared: for demonstrations and tests, not for conclusions about real people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeleton_lab.data.formats.ntu import SampleName
from skeleton_lab.data.generate.synthetic_actions import ACTIONS, CHANNELS, GLIDE, MAX_FRAMES, MIN_FRAMES, SWING, Move
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25

NUM_ACTIONS = len(ACTIONS)
CAMERA_YAW_DEG = {1: 0.0, 2: -45.0, 3: 45.0}
PEOPLE_APART_M = 1.1
EXTREMITIES = (6, 7, 10, 11, 15, 19, 21, 22, 23, 24)  # wrists, hands, feet: tracked half as well

# Joint -> (parent, offset from it in metres), standing upright with arms hanging, for a person of 1.70 m. The body
# looks towards -z, where the camera is; its left is -x. Parents come before children.
_ARM = ((0, -0.27, 0), (0, -0.24, 0), (0, -0.08, 0), (0, -0.08, 0))
_LEG = ((0, -0.41, 0), (0, -0.39, 0), (0, -0.06, -0.11))
REST: dict[int, tuple[int, tuple[float, float, float]]] = {
    1: (0, (0, 0.31, 0)), 20: (1, (0, 0.23, 0)), 2: (20, (0, 0.08, 0)), 3: (2, (0, 0.14, -0.02)),
    4: (20, (-0.17, -0.04, 0)), 5: (4, _ARM[0]), 6: (5, _ARM[1]), 7: (6, _ARM[2]), 21: (7, _ARM[3]),
    22: (7, (0.03, -0.03, -0.04)),
    8: (20, (0.17, -0.04, 0)), 9: (8, _ARM[0]), 10: (9, _ARM[1]), 11: (10, _ARM[2]), 23: (11, _ARM[3]),
    24: (11, (-0.03, -0.03, -0.04)),
    12: (0, (-0.08, -0.01, 0)), 13: (12, _LEG[0]), 14: (13, _LEG[1]), 15: (14, _LEG[2]),
    16: (0, (0.08, -0.01, 0)), 17: (16, _LEG[0]), 18: (17, _LEG[1]), 19: (18, _LEG[2]),
}

# Joint -> the channels that turn it, as (channel, axis, sign) with axis 0 x, 1 y, 2 z. A turn moves what hangs on it.
TURNS: dict[int, tuple[tuple[str, int, int], ...]] = {
    1: (("trunk turn", 1, 1), ("trunk forward", 0, -1), ("trunk right", 2, -1)),
    2: (("head turn", 1, 1), ("head forward", 0, -1)),
    8: (("right arm out", 2, 1), ("right arm forward", 0, 1)), 9: (("right elbow", 0, 1),),
    4: (("left arm out", 2, -1), ("left arm forward", 0, 1)), 5: (("left elbow", 0, 1),),
    16: (("right leg out", 2, 1), ("right leg forward", 0, 1)), 17: (("right knee", 0, -1),),
    12: (("left leg out", 2, -1), ("left leg forward", 0, 1)), 13: (("left knee", 0, -1),),
}


@dataclass(frozen=True)
class Sensor:
    """How well joints are seen.

    Attributes:
        noise_m: standard deviation of each coordinate in metres; half as much again at hands and feet.
        dropouts: how often, on average per clip and person, a limb is lost for some frames and held where it was.
    """

    noise_m: float = 0.01
    dropouts: float = 0.5


@dataclass(frozen=True)
class Style:
    """A performer: limb lengths relative to a person of 1.70 m (V,), posture (channel, radians), vigour, tempo."""

    lengths: np.ndarray
    posture: np.ndarray
    vigour: float
    tempo: float


def make_clip(sample: SampleName, seed: int = 0, sensor: Sensor | None = None) -> np.ndarray:
    """Return the recording of `sample` as (T, M, V, C) float32 in metres; M is 1, or 2 for actions of two people.

    The cameras of one performance show the same movement at the same time, each with its own view and noise.

    Raises:
        UserError: there is no such action or camera.
    """
    if not 1 <= sample.action <= NUM_ACTIONS or sample.camera not in CAMERA_YAW_DEG:
        raise UserError(f"{sample}: there are actions 1 to {NUM_ACTIONS} and cameras 1 to {len(CAMERA_YAW_DEG)} only; "
                        "choose among them")
    scene = _perform(sample, seed)
    view = np.random.default_rng((seed, 1, *sample))
    return _record(_look(scene, sample, seed, view), sensor or Sensor(), view).astype(np.float32)


def is_shared(action: int) -> bool:
    """Return whether two people take part in an action (numbered from 1)."""
    return ACTIONS[action - 1].partner_moves is not None


def performer_style(performer: int, seed: int) -> Style:
    """Return what all recordings of a performer have in common."""
    rng = np.random.default_rng((seed, 2, performer))
    lengths = rng.uniform(0.88, 1.14) * rng.normal(1, 0.03, NTU_25.num_joints)
    lengths[list(NTU_25.right)] = lengths[list(NTU_25.left)]
    return Style(lengths, rng.normal(0, 0.06, len(CHANNELS)), rng.uniform(0.8, 1.2), rng.uniform(0.85, 1.15))


def _perform(sample: SampleName, seed: int) -> np.ndarray:
    """Return the scene (T, M, V, C): people on the floor at y = 0, the middle of them at the origin."""
    rng = np.random.default_rng((seed, 3, sample.setup, sample.performer, sample.replication, sample.action))
    num_frames = round(MIN_FRAMES + rng.beta(2, 2.9) * (MAX_FRAMES - MIN_FRAMES))
    action = ACTIONS[sample.action - 1]
    first = _body(action.moves, performer_style(sample.performer, seed), num_frames, rng)
    if action.partner_moves is None:
        return first[:, None]
    partner = sample.performer + rng.integers(1, 40)  # anyone else
    second = _body(action.partner_moves, performer_style(int(partner), seed), num_frames, rng)
    apart = np.array([PEOPLE_APART_M * rng.uniform(0.85, 1.15) / 2, 0, 0])
    return np.stack([_yaw(first, -90) - apart, _yaw(second, 90) + apart], axis=1)  # face to face along x


def _body(moves: tuple[Move, ...], style: Style, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return one person's joints (T, V, C) in metres, standing at the origin and looking towards -z."""
    channels = _channels(moves, style, num_frames, rng)
    joints = _place_joints(channels, style)
    joints[..., 1] -= joints[..., 1].min(axis=1, keepdims=True)  # the lowest joint is on the floor
    joints[..., 1] += channels["jump"].clip(min=0)[:, None]
    joints[..., 2] -= channels["step forward"][:, None]
    joints[..., 0] += channels["step right"][:, None]
    return joints


def _channels(moves: tuple[Move, ...], style: Style, num_frames: int,
              rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return channel -> its value over time (T,): posture, a slow sway, and the moves of the action."""
    time = np.linspace(0, 1, num_frames)
    sway = rng.normal(0, 0.03, (len(CHANNELS), 1)) * np.sin(2 * np.pi * (time * rng.uniform(0.5, 1.5)
                                                                        + rng.random((len(CHANNELS), 1))))
    posture = style.posture + rng.normal(0, 0.12, len(CHANNELS))
    channels = dict(zip(CHANNELS, posture[:, None] + sway, strict=True))
    for still in ("jump", "step forward", "step right"):
        channels[still] = channels[still] * 0.2
    for bent in ("right elbow", "left elbow", "right arm out", "left arm out"):  # loosely, each clip otherwise
        channels[bent] = channels[bent] + rng.uniform(0, 0.7 if "elbow" in bent else 0.3)
    channels["crouch"] = channels["crouch"] + rng.uniform(0, 0.25)
    onset, finish = rng.uniform(0, 0.12), 1 - rng.uniform(0, 0.12)
    pace = style.tempo * rng.uniform(0.9, 1.1)
    progress = np.clip((time - onset) / (finish - onset), 0, 1)
    for move in moves:
        vigour = style.vigour * rng.uniform(0.85, 1.15)
        channels[move.channel] = channels[move.channel] + vigour * move.amplitude * _course(move, progress, pace)
    crouch = channels["crouch"]
    for side in ("right", "left"):
        channels[f"{side} leg forward"] = channels[f"{side} leg forward"] + crouch
        channels[f"{side} knee"] = channels[f"{side} knee"] + 2 * crouch
    return channels


def _course(move: Move, progress: np.ndarray, pace: float) -> np.ndarray:
    """Return a move's course over the clip's `progress` (T,) from 0 to 1, in units of its amplitude."""
    share = np.clip((progress - move.begin) / (move.end - move.begin), 0, 1)
    if move.shape == GLIDE:
        return share * share * (3 - 2 * share)
    turn = share * move.cycles * pace + move.phase
    fade = np.clip(np.minimum(share, 1 - share) / 0.1, 0, 1)  # begins and ends at rest
    return fade * (np.sin(2 * np.pi * turn) if move.shape == SWING else np.sin(np.pi * turn) ** 2)


def _place_joints(channels: dict[str, np.ndarray], style: Style) -> np.ndarray:
    """Turn channels (T,) into joints (T, V, C), the spine base at the origin: forward kinematics."""
    num_frames = len(channels["crouch"])
    joints = np.zeros((num_frames, NTU_25.num_joints, 3))
    frame_of = {0: np.broadcast_to(np.eye(3), (num_frames, 3, 3))}
    for joint, (parent, offset) in REST.items():
        joints[:, joint] = joints[:, parent] + frame_of[parent] @ (style.lengths[joint] * np.array(offset))
        frame_of[joint] = frame_of[parent]
        for channel, axis, sign in TURNS.get(joint, ()):
            frame_of[joint] = frame_of[joint] @ _turns(sign * channels[channel], axis)
    return joints


def _turns(angles: np.ndarray, axis: int) -> np.ndarray:
    """Return (T, 3, 3) counter-clockwise rotations about `axis` (0 x, 1 y, 2 z) by angles (T,) in radians."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrices = np.zeros((len(angles), 3, 3))
    matrices[:, axis, axis] = 1
    matrices[:, i, i] = matrices[:, j, j] = np.cos(angles)
    matrices[:, j, i] = np.sin(angles)
    matrices[:, i, j] = -matrices[:, j, i]
    return matrices


def _yaw(joints: np.ndarray, degrees: float) -> np.ndarray:
    """Turn joints (..., C) about the vertical axis."""
    return joints @ _turns(np.radians([degrees]), 1)[0].T


def _look(scene: np.ndarray, sample: SampleName, seed: int, view: np.random.Generator) -> np.ndarray:
    """Return the scene as the sample's camera sees it: about 3 m away, from a height of its setup's."""
    setup = np.random.default_rng((seed, 4, sample.setup))
    distance, height = setup.uniform(2.6, 3.6), setup.uniform(0.7, 1.3)
    seen = _yaw(scene, CAMERA_YAW_DEG[sample.camera] + view.normal(0, 6))
    return seen + np.array([view.normal(0, 0.15), -height, distance + view.normal(0, 0.1)])


def _record(joints: np.ndarray, sensor: Sensor, view: np.random.Generator) -> np.ndarray:
    """Add what the sensor gets wrong to joints (T, M, V, C)."""
    spread = np.ones((NTU_25.num_joints, 1))
    spread[list(EXTREMITIES)] = 1.5
    joints = joints + sensor.noise_m * spread * view.standard_normal(joints.shape)
    limbs = ((4, 5, 6, 7, 21, 22), (8, 9, 10, 11, 23, 24), (13, 14, 15), (17, 18, 19))
    for body in range(joints.shape[1]):
        for _ in range(view.poisson(sensor.dropouts)):
            start = int(view.integers(1, len(joints)))
            end = start + int(view.integers(3, 12))
            lost = list(limbs[view.integers(len(limbs))])
            joints[start:end, body, lost] = joints[start - 1, body, lost]
    return joints
