"""UTD-MHAD (Chen et al., ICIP 2015): a MATLAB file for each recording, `d_skel` (20 joints, 3, frames) in metres."""

from __future__ import annotations

import re

import numpy as np

from skeleton_lab.class_names import UTD_MHAD as CLASS_NAMES
from skeleton_lab.data.formats.face import REMEDY, Look
from skeleton_lab.data.formats.mat_file import MAGIC, read_mat_array
from skeleton_lab.data.formats.small_sets import SmallSet, odd, small_set_format
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import UTD_MHAD_20


def _looks_like(look: Look) -> bool:
    return look.head.startswith(MAGIC)


def _read(look: Look) -> np.ndarray:
    joints = read_mat_array(look.path, "d_skel")
    if joints is None or joints.ndim != 3:
        raise UserError(f"{look.path}: holds no array d_skel of (joints, coordinates, frames); {REMEDY}")
    return joints.transpose(2, 0, 1)  # (V, C, T) -> (T, V, C)


UTD_MHAD = SmallSet(
    name="UTD-MHAD", skeleton=UTD_MHAD_20, centre=2, actions=tuple(range(1, 28)), class_names=CLASS_NAMES,
    pattern=re.compile(r"a(?P<action>\d+)_s(?P<part>\d+)_t\d+_skeleton\.mat", re.ASCII), is_train=odd,
    fps=30.0, read=_read)
FORMAT = small_set_format("UTD-MHAD .mat", UTD_MHAD, _looks_like)
