"""Skeletons of further data sets and of pose estimators, and the place for your own, each one literal.

See docs/own_skeletons.md. A skeleton is a tree. `edges` are (child, parent) pairs, 0-based, one for every joint but
`root`; bones follow from them. Name joints "left ..." and "right ..." where they have a side, so that the two sides can
be told apart.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from skeleton_lab.errors import UserError, suggest
from skeleton_lab.skeletons import COCO_17, HAND_21, NTU_25, OPENPOSE_18, UCLA_20, Skeleton

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

# Joints as pose estimators and body trackers give them. Left and right are the person's own.
_FACE = ("nose", "left eye", "right eye", "left ear", "right ear")
_LIMBS = tuple(f"{side} {part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
               for side in ("left", "right"))
_FEET = tuple(f"{side} {part}" for side in ("left", "right") for part in ("big toe", "small toe", "heel"))
_HANDS = tuple(f"{side} hand {joint}" for side in ("left", "right") for joint in HAND_21.joint_names)
_FACE_68 = tuple(f"face {number}" for number in range(68))


def _linked(name: str, joint_names: tuple[str, ...], root: str, *chains: str, flat: bool = True) -> Skeleton:
    """Return a skeleton of chains such as "neck > left shoulder > left elbow": each joint but a chain's first hangs on
    the one before it. A side's joints may be given once, as "* shoulder". Hands and faces hang on by themselves.
    """
    sided = [chain.replace("*", side) for chain in chains
             for side in (("left", "right") if "*" in chain else ("",))]
    parent = {child: above for chain in (chain.split(" > ") for chain in sided)
              for above, child in pairwise(chain)}
    for side in ("left", "right"):
        if f"{side} hand wrist" in joint_names:
            parent[f"{side} hand wrist"] = f"{side} wrist"
            parent |= {f"{side} hand {HAND_21.joint_names[child]}": f"{side} hand {HAND_21.joint_names[above]}"
                       for child, above in HAND_21.edges}
    parent |= {joint: "nose" for joint in joint_names if joint in _FACE_68}
    place = {joint: number for number, joint in enumerate(joint_names)}
    return Skeleton(name, joint_names, tuple((place[joint], place[parent[joint]])
                                             for joint in joint_names if joint != root), place[root], flat)


_ARMS_ON_NECK = "neck > * shoulder > * elbow > * wrist"
_LEGS_ON_HIPS = "mid hip > * hip > * knee > * ankle"
_TOES = ("* ankle > * big toe > * small toe", "* ankle > * heel")
_HEAD = "nose > * eye > * ear"
_COCO_CHAINS = (_HEAD, "nose > * shoulder > * elbow > * wrist", "* shoulder > * hip > * knee > * ankle")
_OPENPOSE_ARMS = tuple(f"{side} {part}" for side in ("right", "left") for part in ("shoulder", "elbow", "wrist"))
_BODY_25_JOINTS = ("nose", "neck", *_OPENPOSE_ARMS, "mid hip",
                   *(f"{side} {part}" for side in ("right", "left") for part in ("hip", "knee", "ankle")),
                   "right eye", "left eye", "right ear", "left ear", *_FEET)
_HALPE_CHAINS = (_HEAD, "neck > nose > head top", _ARMS_ON_NECK, "neck > mid hip", _LEGS_ON_HIPS, *_TOES)
_BODY_25_CHAINS = (_HEAD, "neck > nose", _ARMS_ON_NECK, "neck > mid hip", _LEGS_ON_HIPS, *_TOES)
_HALPE_26_JOINTS = (*_FACE, *_LIMBS, "head top", "neck", "mid hip", "left big toe", "right big toe", "left small toe",
                    "right small toe", "left heel", "right heel")

BODY_25 = _linked("OpenPose BODY_25 (25 joints)", _BODY_25_JOINTS, "neck", *_BODY_25_CHAINS)
BODY_25_HANDS = _linked("OpenPose BODY_25 with hands (67 joints)", (*_BODY_25_JOINTS, *_HANDS), "neck",
                        *_BODY_25_CHAINS)
MPI_15 = _linked(
    "OpenPose MPI (15 joints)",
    ("head", "neck", *_OPENPOSE_ARMS, *(f"{side} {part}" for side in ("right", "left")
                                        for part in ("hip", "knee", "ankle")), "chest"), "neck",
    "neck > head", _ARMS_ON_NECK, "neck > chest > * hip > * knee > * ankle")
HALPE_26 = _linked("Halpe (26 joints)", _HALPE_26_JOINTS, "neck", *_HALPE_CHAINS)
HALPE_136 = _linked("Halpe full body (136 joints)", (*_HALPE_26_JOINTS, *_FACE_68, *_HANDS), "neck", *_HALPE_CHAINS)
COCO_25 = _linked(
    "COCO with feet (25 joints)",
    (*_FACE, "neck", *_LIMBS[:8], "mid hip", *_LIMBS[8:], *_FEET), "neck", *_BODY_25_CHAINS)
COCO_133 = _linked("COCO whole body (133 joints)", (*_FACE, *_LIMBS, *_FEET, *_FACE_68, *_HANDS), "nose",
                   *_COCO_CHAINS, *_TOES)
# MediaPipe's pose: in the picture, or in space with the hips' middle as the origin. Both have x, y and z.
MEDIAPIPE_33 = _linked(
    "MediaPipe pose (33 joints)",
    ("nose", *(f"{side} eye{part}" for side in ("left", "right") for part in (" inner", "", " outer")),
     "left ear", "right ear", "left mouth", "right mouth", *_LIMBS[:6],
     *(f"{side} {part}" for part in ("little finger", "index finger", "thumb") for side in ("left", "right")),
     *_LIMBS[6:], *(f"{side} {part}" for part in ("heel", "foot tip") for side in ("left", "right"))), "nose",
    "nose > * eye inner > * eye > * eye outer > * ear", "nose > * mouth", *_COCO_CHAINS[1:],
    "* wrist > * little finger", "* wrist > * index finger", "* wrist > * thumb", "* ankle > * heel > * foot tip",
    flat=False)
AZURE_32 = _linked(
    "Azure Kinect (32 joints)",
    ("pelvis", "spine navel", "spine chest", "neck",
     *(f"{side} {part}" for side in ("left", "right") for part in (
         "clavicle", "shoulder", "elbow", "wrist", "hand", "hand tip", "thumb")),
     *(f"{side} {part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "foot")),
     "head", "nose", "left eye", "left ear", "right eye", "right ear"), "pelvis",
    "pelvis > spine navel > spine chest > neck > head > nose", "head > * eye", "head > * ear",
    "spine chest > * clavicle > * shoulder > * elbow > * wrist > * hand > * hand tip", "* wrist > * thumb",
    "pelvis > * hip > * knee > * ankle > * foot", flat=False)
SMPL_24 = _linked(
    "SMPL (24 joints)",
    ("pelvis", "left hip", "right hip", "spine 1", "left knee", "right knee", "spine 2", "left ankle", "right ankle",
     "spine 3", "left foot", "right foot", "neck", "left collar", "right collar", "head", *_LIMBS[:6], "left hand",
     "right hand"), "pelvis",
    "pelvis > spine 1 > spine 2 > spine 3 > neck > head", "pelvis > * hip > * knee > * ankle > * foot",
    "spine 3 > * collar > * shoulder > * elbow > * wrist > * hand", flat=False)
HUMAN36M_17 = _linked(
    "Human3.6M (17 joints)",
    ("pelvis", *(f"{side} {part}" for side in ("right", "left") for part in ("hip", "knee", "ankle")), "spine",
     "thorax", "nose", "head", *(f"{side} {part}" for side in ("left", "right")
                                 for part in ("shoulder", "elbow", "wrist"))), "pelvis",
    "pelvis > spine > thorax > nose > head", "thorax > * shoulder > * elbow > * wrist",
    "pelvis > * hip > * knee > * ankle", flat=False)

# What `--joints` and `--to` call the joints of a file.
JOINT_SETS = {
    "ntu25": NTU_25, "kinect20": UCLA_20, "azure32": AZURE_32, "coco17": COCO_17, "coco25": COCO_25,
    "coco133": COCO_133, "halpe26": HALPE_26, "halpe136": HALPE_136, "openpose18": OPENPOSE_18, "body25": BODY_25,
    "body25hands": BODY_25_HANDS, "mpi15": MPI_15, "mediapipe33": MEDIAPIPE_33, "human36m17": HUMAN36M_17,
    "smpl24": SMPL_24, "hand21": HAND_21,
}

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
