"""Which joints are meant by names that other projects give them: `LShoulder`, `left_shoulder`, `LEFT_SHOULDER`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from skeleton_lab.own_skeletons import BODY_25, COCO_133, HALPE_26, HALPE_136, JOINT_SETS, MEDIAPIPE_33
from skeleton_lab.skeletons import COCO_17, Skeleton

_SIDE = re.compile(r"(left|Left|LEFT|l|L|right|Right|RIGHT|r|R)(?=[ A-Z])(?!OOT)")
_SIDE_BEHIND = re.compile(r"(.+) (l|left|r|right)", re.IGNORECASE)
_CORE = {f"{side} {part}" for side in ("left", "right") for part in (
    "shoulder", "elbow", "wrist", "hip", "knee", "ankle")}
_ALIKE = {
    "hip": "mid hip", "midhip": "mid hip", "pelvis": "mid hip", "hips": "mid hip", "root": "mid hip",
    "pinky": "little finger", "index": "index finger", "foot index": "foot tip", "bigtoe": "big toe",
    "smalltoe": "small toe", "toe": "big toe", "upper neck": "neck", "head": "head top", "headtop": "head top",
    "top head": "head top", "bottom head": "neck",
}


def sided(name: str) -> tuple[str, str]:
    """Return a joint's side, "left ", "right " or "", and the rest of its name, in small letters with blanks."""
    words = re.sub(r"[ _.:\-]+", " ", name.strip())
    side = ""
    if found := _SIDE.match(words):
        side, words = found[0][0].lower(), words[found.end():].strip()
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words).lower()
    if not side and (behind := _SIDE_BEHIND.fullmatch(words)):
        words, side = behind[1], behind[2][0].lower()
    return {"l": "left ", "r": "right ", "": ""}[side], words


def plain(name: str) -> str:
    """Return a joint's name as skeletons here have it: "left shoulder" of LShoulder, left_shoulder or shoulder.L."""
    side, words = sided(name)
    return side + (words if side and words in ("hip", "head") else _ALIKE.get(words, words))


def skeleton_of_names(names: Sequence[str]) -> Skeleton | None:
    """Return the set that has just these joints in this order, whatever they are called exactly; None if none has."""
    wanted = [plain(name) for name in names]
    for skeleton in JOINT_SETS.values():
        if skeleton.num_joints == len(names):
            alike = [_ALIKE.get(own, own) for own in skeleton.joint_names]
            if all(a == b or "face" in b or "hand" in b for a, b in zip(wanted, alike, strict=True)):
                return skeleton
    return None


def places_of_names(names: Sequence[str], sets: Sequence[Skeleton] = (COCO_17, HALPE_26, BODY_25, MEDIAPIPE_33,
                                                                      COCO_133, HALPE_136)) \
        -> tuple[Skeleton, np.ndarray] | None:
    """Return the smallest set that has most of the named joints, and for each of its joints the place among `names`.

    (V,) int64, -1 where it is not named. None where shoulders, elbows, wrists, hips, knees and ankles are not all
    named.
    """
    named = {plain(name): place for place, name in reversed(list(enumerate(names)))}
    if not named.keys() >= _CORE:
        return None
    _, _, skeleton = max(((len(named.keys() & {_ALIKE.get(own, own) for own in skeleton.joint_names}),
                               -skeleton.num_joints, skeleton) for skeleton in sets), key=lambda entry: entry[:2])
    places = [named.get(_ALIKE.get(own, own), -1) for own in skeleton.joint_names]
    return skeleton, np.array(places, np.int64)
