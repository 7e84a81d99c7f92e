"""MSR-Action3D (Li et al., CVPR workshops 2010): a text for each recording, a line `x y z confidence` for each joint.

Two kinds of files were published under nearly one name: `_skeleton3D.txt` in metres, which is read here, and
`_skeleton.txt` in the coordinates of the depth picture (pixels, and a depth in millimetres), which is told by its
values and refused.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from skeleton_lab.class_names import MSR_ACTION3D as CLASS_NAMES
from skeleton_lab.data.formats.face import REMEDY, Look
from skeleton_lab.data.formats.numbers_in_text import is_number
from skeleton_lab.data.formats.small_sets import SmallSet, odd, small_set_format
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import MSR_ACTION3D_20

FARTHEST_M = 15  # from the sensor, which sees to 4 m; a picture's coordinates go to some hundreds


def _looks_like(look: Look) -> bool:
    words = look.lines[0].split() if look.lines else []
    return len(words) == 4 and all(map(is_number, words))


def _read(look: Look) -> np.ndarray:
    """Read lines of `x y z confidence`, 20 joints for each frame."""
    path = look.path
    lines = path.read_bytes().splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) != 4 or not all(map(is_number, words)):
            raise UserError(f"{path}:{number}: four numbers expected (x y z confidence); {REMEDY}")
        rows.append([float(word) for word in words[:3]])
    num_joints = MSR_ACTION3D_20.num_joints
    if len(rows) % num_joints:
        raise UserError(f"{path}:{len(rows)}: the file ends inside a frame of {num_joints} lines; {REMEDY}")
    joints = np.array(rows).reshape(-1, num_joints, 3)
    _refuse_picture(path, joints)
    return joints


def _refuse_picture(path: Path, joints: np.ndarray) -> None:
    """Raise a UserError if joints (T, V, C) lie farther away than people can: they are no metres."""
    seen = np.abs(joints[(joints != 0).any(axis=2)])
    if seen.size and np.median(seen.max(axis=-1)) > FARTHEST_M:
        raise UserError(f"{path}: holds screen coordinates (pixels and millimetres), not metres; give the recording's "
                        "_skeleton3D.txt file")


MSR_ACTION3D = SmallSet(
    name="MSR-Action3D", skeleton=MSR_ACTION3D_20, centre=3, actions=tuple(range(1, 21)), class_names=CLASS_NAMES,
    pattern=re.compile(r"a(?P<action>\d+)_s(?P<part>\d+)_e\d+_skeleton3D\.txt", re.ASCII), is_train=odd,
    fps=15.0, read=_read)
FORMAT = small_set_format("MSR-Action3D text", MSR_ACTION3D, _looks_like)
