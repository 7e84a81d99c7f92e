"""An estimator that needs no network: a red and a green square in a picture are people, MediaPipe's joints around them.

It lists them in another order in every second picture, as estimators do.
"""

from __future__ import annotations

import numpy as np

from skeleton_lab.capture.estimators import Estimate, Settings
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import MEDIAPIPE_33

COLOURS = ((255, 0, 0), (0, 255, 0))
# A person upright, facing the camera: x to the right, y down, z away; in metres, the hips' middle at the origin.
_PARTS = {"nose": (0, -0.65, -0.1), "ear": (0.08, -0.65, 0), "shoulder": (0.2, -0.5, 0), "elbow": (0.3, -0.25, 0),
          "wrist": (0.3, 0, 0), "hip": (0.1, 0, 0), "knee": (0.1, 0.4, 0), "ankle": (0.1, 0.8, 0)}


def _joint(name: str) -> tuple[float, float, float]:
    side = 1 if name.startswith("left") else -1
    part = name.removeprefix("left ").removeprefix("right ")
    near = {"mouth": "nose", "heel": "ankle", "foot tip": "ankle"}
    x, y, z = _PARTS.get(part) or _PARTS[near.get(part, "wrist" if "finger" in part or part == "thumb" else "ear")]
    return side * x, y, z


PERSON = np.array([_joint(name) for name in MEDIAPIPE_33.joint_names])


def open_estimator(settings: Settings) -> Squares:
    if settings.people > 2:
        raise UserError(f"--people {settings.people}: there are two colours")
    return Squares(settings.people)


class Squares:
    joints, version = "mediapipe33", "1"

    def __init__(self, people: int) -> None:
        self._people, self._seen = people, 0

    def see(self, picture: np.ndarray, time_ms: int) -> Estimate:
        flat, space = [], []
        self._seen += 1
        for colour in COLOURS[:self._people]:
            rows, columns = np.nonzero((np.abs(picture.astype(int) - colour) < 90).all(axis=2))
            if len(rows) > 20:
                side = np.sqrt(len(rows))
                places = np.array([columns.mean(), rows.mean()]) + PERSON[:, :2] * side
                flat.append(np.concatenate([places, np.full((33, 1), 0.9)], axis=1))
                space.append(PERSON)
        order = slice(None, None, -1 if self._seen % 2 else 1)
        return Estimate(np.array(flat[order]).reshape(-1, 33, 3), np.array(space[order]).reshape(-1, 33, 3))

    def close(self) -> None:
        pass
