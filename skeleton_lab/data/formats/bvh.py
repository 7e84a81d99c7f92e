"""BVH: a tree of joints with their angles, read by the library pybvh, which is optional. One person a file.

Joints are found by name (Hips, LeftUpLeg, LeftLeg, ... or Hips, LeftHip, LeftKnee, ...) and given as SMPL's 24, whose
tree is the nearest; what a file does not have is absent. Neither unit nor upward axis are stored: the numbers are the
file's own, turned so that y is up where pybvh finds another axis.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats.estimates import MAX_FRAMES, Facts, Frame, recording_of
from skeleton_lab.data.formats.face import REMEDY, Format, Look, Wanted
from skeleton_lab.data.formats.joint_names import sided
from skeleton_lab.data.formats.optional import library
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError, note
from skeleton_lab.own_skeletons import SMPL_24

MAX_BYTES = 64 << 20
_MIDDLE = {"pelvis": ("hips", "hip", "pelvis", "root"), "neck": ("neck", "neck1"), "head": ("head",)}
_SPINE = ("lowerback", "spine", "spine1", "spine2", "spine3", "chest", "chest1", "chest2", "chest3", "upperchest",
          "torso", "abdomen")
# The first that a file has; "shoulder" is the collar where there is an arm besides.
_SIDED = {
    "shoulder": ("uparm", "upperarm", "arm", "shoulder"), "elbow": ("forearm", "lowerarm", "lowarm", "elbow"),
    "wrist": ("hand", "wrist"), "hip": ("upleg", "upperleg", "thigh", "hip"),
    "knee": ("lowleg", "lowerleg", "shin", "calf", "leg", "knee"), "ankle": ("foot", "ankle"),
    "foot": ("toebase", "toe", "ball"), "collar": ("clavicle", "collar", "shoulder"),
}
_OPTIONAL = ("foot", "collar")


def _looks_like(look: Look) -> bool:
    return look.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"HIERARCHY")


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path = look.path
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; cut it into parts")
    pybvh = library(path, "pybvh")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content: Any = pybvh.read_bvh_file(str(path))
            joints = np.asarray(content.joint_positions(), np.float64)  # (T, J, 3)
            names, frame_time, up = list(content.joint_names), float(content.frame_time), str(content.world_up)
    except Exception as error:  # a damaged file raises nearly anything there
        raise UserError(f"{path}: is damaged, or no BVH ({error!s:.80}); {REMEDY}") from error
    if not len(joints) or len(joints) > MAX_FRAMES or not np.isfinite(joints).all():
        raise UserError(f"{path}: holds {len(joints)} frames, or a number that is not finite; {REMEDY}")
    if up != "+y":
        note(f"{path}: {up} is up; turned so that y is")
        joints = joints @ _to_y_up(up).T
    places = _places(path, names)
    people = np.concatenate([np.where(places[:, None] >= 0, joints[:, places], 0),
                             np.broadcast_to((places >= 0)[:, None], (len(joints), len(places), 1))], axis=2)[:, None]
    fps = wanted.fps or (1 / frame_time if frame_time > 1e-6 else None)
    facts = Facts(SMPL_24, None, fps, y_down=False)
    return [recording_of(str(path), [Frame(number, person) for number, person in enumerate(people)], facts)]


def _to_y_up(up: str) -> np.ndarray:
    """Return the rotation (3, 3) that turns a signed axis such as "+z" to y."""
    axis = "xyz".index(up[-1])
    sign = -1.0 if up.startswith("-") else 1.0
    turned = np.zeros((3, 3))
    turned[1, axis] = sign
    others = [number for number in range(3) if number != axis]
    turned[0, others[0]] = 1.0
    turned[2, others[1]] = 1.0
    turned[2] *= np.linalg.det(turned)  # no mirror
    return turned


def _places(path: Path, names: list[str]) -> np.ndarray:
    """Return for each of SMPL's joints its place among the file's, (24,) int64, -1 for none.

    Raises:
        UserError: the names do not tell a person's joints.
    """
    named: dict[str, int] = {}
    for place, name in enumerate(names):
        side, words = sided(name.rpartition(":")[2])
        named.setdefault(side + words.replace(" ", ""), place)
    found = {joint: next((named[word] for word in _MIDDLE[joint] if word in named), -1) for joint in _MIDDLE}
    for side in ("left ", "right "):
        for part, known in _SIDED.items():
            found[side + part] = next((named[side + word] for word in known if side + word in named), -1)
        if found[f"{side}collar"] == found[f"{side}shoulder"]:
            found[f"{side}collar"] = -1
    spine = sorted(named[word] for word in _SPINE if word in named)
    chosen = [spine[round(share * (len(spine) - 1))] for share in (0, 0.5, 1)] if spine else []
    found |= {f"spine {number + 1}": place for number, place in enumerate(chosen)}
    missing = [joint for joint, place in found.items() if place < 0 and not joint.endswith(_OPTIONAL)]
    if missing or not spine:
        raise UserError(f"{path}: its joints ({', '.join(names)[:120]}) cannot be told: which is the "
                        f"{missing[0] if missing else 'spine'}? Rename them as Hips, Spine, Neck, Head, LeftArm, "
                        "LeftForeArm, LeftHand, LeftUpLeg, LeftLeg, LeftFoot, ...")
    return np.array([found.get(joint, -1) for joint in SMPL_24.joint_names], np.int64)


FORMAT = Format("BVH", (".bvh",), _looks_like, _read)
