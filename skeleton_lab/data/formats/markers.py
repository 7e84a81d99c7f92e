"""Markers of motion capture, which TRC and C3D files name: joints, where the names are those of joints.

Markers on the skin are none: a knee is the middle of an inner and an outer one, and which pairs belong together each
laboratory says for itself. Where names tell no joints, `--joints` may say that the markers are those of a set, in its
order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.estimates import Facts, Frame, recording_of
from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.joint_names import places_of_names
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import UserError

METRES = {"m": 1.0, "meters": 1.0, "metres": 1.0, "cm": 0.01, "mm": 0.001}


def recording_of_markers(path: Path, names: Sequence[str], points: np.ndarray, unit: str, fps: float | None,
                         wanted: Wanted, numbers: Sequence[int] = ()) -> Recording:
    """Return markers (T, markers, 3), NaN or all 0 where one was not seen, as a recording of one person.

    Args:
        unit: of the file, such as "mm"; "": not known. numbers: of the frames; () for one after the other.

    Raises:
        UserError: the names are no joints that are known.
    """
    if wanted.skeleton is not None and wanted.skeleton.num_joints == len(names):
        skeleton, places = wanted.skeleton, np.arange(len(names))
    else:
        found = places_of_names(names)
        if found is None:
            raise UserError(f"{path}: unknown marker set ({', '.join(names)[:120]}): its names are not those of "
                            "joints; name them as Pose2Sim or OpenPose does, or say with --joints whose they are")
        skeleton, places = found
    scale = METRES.get(unit.strip().lower())
    joints = np.where(places[:, None] >= 0, points[:, places], np.nan) * (scale or 1.0)
    seen = np.isfinite(joints).all(axis=2) & (joints != 0).any(axis=2)
    people = np.concatenate([np.where(seen[..., None], joints, 0), seen[..., None]], axis=2)[:, None]
    frames = [Frame(number, person) for number, person in zip(numbers or range(len(people)), people, strict=True)]
    rate = wanted.fps or (fps if fps and 0 < fps < 1e6 else None)
    return recording_of(str(path), frames, Facts(skeleton, Unit.METRES if scale else None, rate, y_down=False))
