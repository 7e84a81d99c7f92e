"""Skeletons of further data sets, and the place for your own: each is one literal (see docs/own_skeletons.md).

A skeleton is a tree. `edges` are (child, parent) pairs, 0-based, one for every joint but `root`; bones follow from
them. Name joints "left ..." and "right ..." where they have a side, so that the two sides can be told apart.
"""

from __future__ import annotations

from dataclasses import replace

from skeleton_lab.errors import UserError, suggest
from skeleton_lab.skeletons import COCO_17, HAND_21, NTU_25, OPENPOSE_18, Skeleton

# UTD-MHAD (Chen et al., ICIP 2015): Microsoft Kinect v1, the order of the rows of `d_skel`.
UTD_MHAD_20 = Skeleton(
    name="UTD-MHAD (20 joints)",
    joint_names=(
        "head", "shoulder centre", "spine", "hip centre",
        "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand",
        "left hip", "left knee", "left ankle", "left foot",
        "right hip", "right knee", "right ankle", "right foot",
    ),
    edges=(
        (0, 1), (2, 1), (3, 2), (4, 1), (5, 4), (6, 5), (7, 6), (8, 1), (9, 8), (10, 9), (11, 10),
        (12, 3), (13, 12), (14, 13), (15, 14), (16, 3), (17, 16), (18, 17), (19, 18),
    ),
    root=1,
)

# MSR-Action3D (Li et al., CVPR workshops 2010): 20 joints in an order of its own, known from the drawing code that came
# with it. That code links joints but does not name their sides: which one is left is our reading.
MSR_ACTION3D_20 = Skeleton(
    name="MSR-Action3D (20 joints)",
    joint_names=(
        "left shoulder", "right shoulder", "shoulder centre", "spine", "left hip", "right hip", "hip centre",
        "left elbow", "right elbow", "left wrist", "right wrist", "left hand", "right hand",
        "left knee", "right knee", "left ankle", "right ankle", "left foot", "right foot", "head",
    ),
    edges=(
        (19, 2), (0, 2), (1, 2), (3, 2), (6, 3), (7, 0), (9, 7), (11, 9), (8, 1), (10, 8), (12, 10),
        (4, 6), (13, 4), (15, 13), (17, 15), (5, 6), (14, 5), (16, 14), (18, 16),
    ),
    root=2,
)

# The graphs of PYSKL and MMAction2 by their `layout`. NTU's hand tips hang on the hands there, not on the thumbs;
# OpenPose's root is the neck. The joints are those of the skeletons above, so that they are none of their own.
PYSKL_LAYOUTS = {
    "nturgb+d": replace(NTU_25, edges=tuple((child, {21: 7, 23: 11}.get(child, parent))
                                            for child, parent in NTU_25.edges)),
    "coco": COCO_17,
    "openpose": replace(OPENPOSE_18, root=1, edges=((0, 1), *OPENPOSE_18.edges[1:])),
    "handmp": HAND_21,
}


def pyskl_skeleton(layout: str) -> Skeleton:
    """Return the skeleton of a layout of PYSKL's; UserError, with the nearest one, if there is none."""
    if layout not in PYSKL_LAYOUTS:
        raise UserError(f"graph_args: layout '{layout}' does not exist{suggest(layout, PYSKL_LAYOUTS)}; choose "
                        f"{', '.join(PYSKL_LAYOUTS)}")
    return PYSKL_LAYOUTS[layout]
