"""Azure Kinect's bodies, JSON of the SDK's `offline_processor`: 32 joints in millimetres, with the ids of bodies.

    {"joint_names": [...], "frames": [{"frame_id": 0, "timestamp_usec": 33, "num_bodies": 1,
                                       "bodies": [{"body_id": 1, "joint_positions": [[x, y, z], ...]}]}, ...]}

`frame_id` jumps where the camera gave no depth; the rate follows from the timestamps. Axes of the depth camera: x
right, y down, z forward; here in metres. Some write `joint_confidences`, 0 to 3, besides; 0 is a joint that is not
there.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from skeleton_lab.data.formats.estimates import REMEDY, Facts, Frame, numbers, recording_of, whole_number
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import AZURE_32

_MILLIMETRES = 1000
_RATES = (5.0, 15.0, 30.0)  # that the camera has


def _looks_like(look: Look) -> bool:
    content = look.json
    return isinstance(content, dict) and isinstance(content.get("frames"), list) and "joint_names" in content


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path, content = look.path, look.json
    names = content["joint_names"]
    if isinstance(names, list) and names and len(names) != AZURE_32.num_joints:
        raise UserError(f"{path}: names {len(names)} joints, Azure Kinect has {AZURE_32.num_joints}; {REMEDY}")
    frames, times = [], []
    for place, frame in enumerate(content["frames"]):
        try:
            number = whole_number(frame["frame_id"])
            bodies = frame["bodies"]
            people = [_body(body) for body in bodies]
            ids = tuple(str(whole_number(body["body_id"])) for body in bodies)
            if isinstance(frame.get("timestamp_usec"), int):
                times.append((number, frame["timestamp_usec"]))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else f"{error!s:.120}"
            raise UserError(f"{path}: frame {place} of its list: {reason}; {REMEDY}") from error
        frames.append(Frame(number, np.stack(people) if people else np.zeros((0, AZURE_32.num_joints, 4)), ids))
    first = min((frame.number for frame in frames), default=0)  # the device's own count, from anywhere
    frames = [Frame(frame.number - first, frame.people, frame.ids) for frame in frames]
    facts = Facts(AZURE_32, Unit.METRES, wanted.fps or _rate(times))
    return [recording_of(str(path), frames, facts)]


def _body(body: Any) -> np.ndarray:
    """Return (V, 4): metres, and 1 or the confidence. Raises ValueError and the like."""
    joints = numbers(body["joint_positions"])
    if joints.shape != (AZURE_32.num_joints, 3):
        raise ValueError(f"joint_positions {joints.shape}, expected ({AZURE_32.num_joints}, 3)")
    given = body.get("joint_confidences", body.get("confidence_levels"))
    sure = np.ones(len(joints)) if given is None else numbers(given)
    if sure.shape != joints.shape[:1]:
        raise ValueError(f"joint_confidences {sure.shape}, expected ({AZURE_32.num_joints},)")
    return np.concatenate([joints / _MILLIMETRES, sure[:, None]], axis=1)


def _rate(times: list[tuple[int, int]]) -> float | None:
    """Return the camera's rate, by the microseconds from one frame to the next."""
    steps = [(later - earlier) / (next_number - number) for (number, earlier), (next_number, later)
             in pairwise(times) if next_number > number and later > earlier]
    if not steps:
        return None
    measured = 1e6 / float(np.median(steps))
    return min((rate for rate in _RATES if abs(rate - measured) < 0.1 * rate), default=measured)


FORMAT = Format("Azure Kinect JSON", (".json",), _looks_like, _read)
