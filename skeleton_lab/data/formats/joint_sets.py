"""From one set of joints to another: what estimators and body trackers give, as NTU RGB+D's 25 or COCO's 17 joints.

    joints, confidence = to_joint_set(joints, confidence, BODY_25, NTU_25)

The sets themselves are skeletons; `own_skeletons.JOINT_SETS` has them by the names that `--joints` and `--to` take.
Which joint stands for which is told by the names of joints: one of the same name stands for itself, and `_RULES` says
the rest. No data set prescribes the middles, the neck a third of the way up and the choice of SMPL's spine joints: they
are conventions, which is why `mapping_lines` prints them.

A rule: "a + b" is the middle, absent where one of them is, and as sure as the less sure of them; "2 a + b" lies a third
of the way; "@a" is a joint of the target; "a else b" takes b where a is absent. A joint that the source does not have
is lost: it repeats its parent's place with confidence 0, so that its bone is zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from skeleton_lab.errors import UserError, suggest
from skeleton_lab.imports import load_object
from skeleton_lab.own_skeletons import (
    AZURE_32,
    BODY_25,
    BODY_25_HANDS,
    COCO_25,
    COCO_133,
    HALPE_26,
    HALPE_136,
    HUMAN36M_17,
    JOINT_SETS,
    MEDIAPIPE_33,
    MPI_15,
    SMPL_24,
)
from skeleton_lab.skeleton_names import same_joints
from skeleton_lab.skeletons import COCO_17, NTU_25, OPENPOSE_18, UCLA_20, Skeleton

TARGETS = {"ntu25": NTU_25, "coco17": COCO_17}

_BASE = {"spine middle": "@spine base + @spine top", "neck": "2 @spine top + @head"}
_COCO = {**_BASE, "spine base": "left hip + right hip", "spine top": "left shoulder + right shoulder",
         "head": "left ear + right ear else nose"}
_FEET = {"left foot": "left big toe", "right foot": "right big toe"}
_HANDS = {f"{side} {part}": f"{side} hand {joint}" for side in ("left", "right") for part, joint in (
    ("hand", "middle base"), ("hand tip", "middle tip"), ("thumb", "thumb tip"))}
_NECK_AND_HIPS = {**_COCO, "spine base": "mid hip", "spine top": "neck"}
_HEAD_FOR_NOSE = {"nose": "head"}

# Target -> source -> rules for joints whose names do not tell.
_RULES: dict[str, list[tuple[Skeleton, Mapping[str, str]]]] = {
    "ntu25": [
        (COCO_17, _COCO), (COCO_133, {**_COCO, **_FEET, **_HANDS}),
        (OPENPOSE_18, {**_COCO, "spine top": "neck"}),
        (BODY_25, {**_NECK_AND_HIPS, **_FEET}), (BODY_25_HANDS, {**_NECK_AND_HIPS, **_FEET, **_HANDS}),
        (COCO_25, {**_NECK_AND_HIPS, **_FEET}), (HALPE_26, {**_NECK_AND_HIPS, **_FEET}),
        (HALPE_136, {**_NECK_AND_HIPS, **_FEET, **_HANDS}),
        (MPI_15, {**_COCO, "spine top": "neck", "head": "head"}),
        (MEDIAPIPE_33, {**_COCO, "head": "left ear + right ear", **{
            f"{side} {part}": rule.replace("*", side) for side in ("left", "right") for part, rule in (
                ("hand", "* little finger + * index finger"), ("hand tip", "* index finger"), ("foot", "* foot tip"))
        }}),
        (AZURE_32, {"spine base": "pelvis", "spine middle": "spine navel",
                    "spine top": "left clavicle + right clavicle"}),
        (SMPL_24, {"spine base": "pelvis", "spine middle": "spine 2", "neck": "neck + head", "spine top": "neck"}),
        (UCLA_20, {"spine base": "hip centre", "spine middle": "spine", "spine top": "shoulder centre",
                   "neck": "2 @spine top + @head"}),
        (HUMAN36M_17, {**_BASE, "spine base": "pelvis", "spine middle": "spine", "spine top": "thorax"}),
    ],
    "coco17": [
        *((source, {}) for source in (COCO_133, OPENPOSE_18, BODY_25, BODY_25_HANDS, COCO_25, HALPE_26, HALPE_136,
                                      MEDIAPIPE_33, AZURE_32, HUMAN36M_17)),
        *((source, _HEAD_FOR_NOSE) for source in (NTU_25, UCLA_20, SMPL_24, MPI_15)),
    ],
}


def rules_for(source: Skeleton, target: Skeleton) -> dict[str, str]:
    """Return how each joint of the target comes about, by its name; "" for one that is lost.

    Raises:
        UserError: there is no table for the two.
    """
    if same_joints(source, target):
        return {joint: joint for joint in target.joint_names}
    for name, known in TARGETS.items():
        if same_joints(known, target):
            for entry, rules in _RULES[name]:
                if same_joints(entry, source):
                    own = {joint: joint for joint in target.joint_names if joint in source.joint_names}
                    return {joint: rules.get(joint, own.get(joint, "")) for joint in target.joint_names}
    raise UserError(f"no table leads from the joints of {source.name} to {target.name}; choose --to of "
                    f"{', '.join(TARGETS)}, or joints that lead there")


def can_convert(source: Skeleton, target: Skeleton) -> bool:
    """Whether there is a table for the two."""
    try:
        return bool(rules_for(source, target))
    except UserError:
        return False


def to_joint_set(joints: np.ndarray, confidence: np.ndarray | None, source: Skeleton,
                 target: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Return the joints of another set, (..., V', C) in the type of `joints`, and their confidence (..., V').

    Args:
        joints: (..., V, C). confidence: (..., V), 0 or less where a joint is absent; None: 1 where it is not all zeros.

    Raises:
        UserError: there is no table for the two sets.
    """
    rules = rules_for(source, target)
    if confidence is None:
        confidence = (joints != 0).any(axis=-1).astype(joints.dtype)
    if same_joints(source, target):
        return joints, confidence
    place = {joint: number for number, joint in enumerate(target.joint_names)}
    made = np.zeros((*joints.shape[:-2], target.num_joints, joints.shape[-1]), joints.dtype)
    sure = np.zeros(made.shape[:-1], confidence.dtype)
    # Rules that need the target's own joints come last; the neck needs the head.
    for joint in sorted(rules, key=lambda name: "@" in rules[name]):
        for alternative in reversed(rules[joint].split(" else ") if rules[joint] else []):
            value, known = _weighted(alternative, (joints, confidence, source), (made, sure, target))
            there = known > 0
            made[..., place[joint], :] = np.where(there[..., None], value, made[..., place[joint], :])
            sure[..., place[joint]] = np.where(there, known, sure[..., place[joint]])
    _repeat_parents(made, [place[joint] for joint, rule in rules.items() if not rule], target)
    return made, sure


def _weighted(rule: str, source: tuple[np.ndarray, np.ndarray, Skeleton],
              target: tuple[np.ndarray, np.ndarray, Skeleton]) -> tuple[np.ndarray, np.ndarray]:
    """Return the place (..., C) that "2 a + b" means, and the least confidence (...) of its parts."""
    value, total = np.zeros(()), 0.0
    sure: np.ndarray | None = None
    for part in rule.split(" + "):
        weight = float(part[0]) if part[0].isdigit() else 1.0
        name = part.lstrip("0123456789 ")
        joints, confidence, skeleton = target if name.startswith("@") else source
        number = skeleton.joint_names.index(name.lstrip("@"))
        value = value + weight * joints[..., number, :]
        total += weight
        sure = confidence[..., number] if sure is None else np.minimum(sure, confidence[..., number])
    assert sure is not None
    return np.asarray(value / total), sure


def _repeat_parents(joints: np.ndarray, lost: list[int], skeleton: Skeleton) -> None:
    """Put lost joints where their parents are, those nearer to the root first."""
    waiting = list(lost)
    while waiting:
        for joint in [joint for joint in waiting if skeleton.parents[joint] not in waiting]:
            joints[..., joint, :] = joints[..., skeleton.parents[joint], :]
            waiting.remove(joint)


def mapping_lines(source: Skeleton, target: Skeleton) -> list[str]:
    """Return in words how the joints of the target come about, other than from one of the same name."""
    rules = rules_for(source, target)
    lost = [joint for joint, rule in rules.items() if not rule]
    made = [f"{joint} = {rule}" for joint, rule in rules.items() if rule and rule != joint]
    return [*([f"{source.name} to {target.name}: {'; '.join(made)}"] if made else []),
            *([f"lost, at the place of the joint they hang on: {', '.join(lost)}"] if lost else [])]


def joint_set(word: str) -> Skeleton:
    """Return the joints that a user means: a short name of `own_skeletons.JOINT_SETS`, or a skeleton's dotted path.

    Raises:
        UserError: there is no such set.
    """
    if "." not in word:
        if word not in JOINT_SETS:
            raise UserError(f"--joints {word}: no such set of joints{suggest(word, JOINT_SETS)}; choose "
                            f"{', '.join(JOINT_SETS)}, or give a skeleton's dotted path")
        return JOINT_SETS[word]
    skeleton = load_object(word)
    if not isinstance(skeleton, Skeleton):
        raise UserError(f"--skeleton {word}: is no Skeleton; see skeleton_lab/skeletons.py")
    return skeleton
