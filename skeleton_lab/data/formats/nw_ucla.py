"""NW-UCLA (Wang et al., CVPR 2014): a JSON file for each recording, one body of Kinect v1's 20 joints, in metres.

    {"label": 2, "skeletons": [[[x, y, z], ... 20 joints], ... frames], ...}
"""

from __future__ import annotations

import re

import numpy as np

from skeleton_lab.class_names import NW_UCLA as CLASS_NAMES
from skeleton_lab.data.formats.face import REMEDY, Look
from skeleton_lab.data.formats.small_sets import SmallSet, small_set_format
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import UCLA_20

UCLA_ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)  # the others were not released


def _looks_like(look: Look) -> bool:
    return isinstance(look.json, dict) and isinstance(look.json.get("skeletons"), list)


def _read(look: Look) -> np.ndarray:
    path, recording = look.path, look.json
    label = NW_UCLA.label_of(path)
    try:
        joints = np.array(recording["skeletons"], np.float64)
        said = recording["label"] if label is not None else None
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no 'skeletons' of frames x joints x 3 and 'label' in it ({error!r:.60}); "
                        f"{REMEDY}") from error
    if label is not None and said != label + 1:
        raise UserError(f"{path}: its label is {said!r:.20}, but action {UCLA_ACTIONS[label]} is class {label + 1}; "
                        f"{REMEDY}")
    return joints


NW_UCLA = SmallSet(
    name="NW-UCLA", skeleton=UCLA_20, centre=1, actions=UCLA_ACTIONS, class_names=CLASS_NAMES,
    pattern=re.compile(r"a(?P<action>\d\d)_s\d\d_e\d\d_v(?P<part>\d\d)\.json", re.ASCII),
    is_train=lambda view: view in (1, 2), fps=30.0, read=_read)
FORMAT = small_set_format("NW-UCLA JSON", NW_UCLA, _looks_like)
