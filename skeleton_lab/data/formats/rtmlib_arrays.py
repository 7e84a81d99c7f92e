"""Poses in plain arrays, as people save what rtmlib and its like return, and as extract_poses.py writes them.

`.npz`: `keypoints` (T, P, V, C) and `scores` (T, P, V), or (T, V, C) and (T, V) of one person; or `keypoints_<number>`
(P, V, C) and `scores_<number>` (P, V), a pair for each frame. It may say more: `frame_numbers` (T,), `fps`,
`image_size` (width, height), `joints` (a word such as coco17), `unit` (pixels, metres or shares), and `ids` (P,) if
each place is always the same person. `.npy`: (T, V, C) or (T, P, V, C); of flat joints a third number is the score.

Nobody is a person of zeros or NaN, or P of 0. One who must be there, and of whom hardly a joint was seen, is nobody
too. Places in the list tell nothing of who is who: not even those of rtmlib's tracker.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.estimates import (
    MAX_VALUES,
    REMEDY,
    Facts,
    Frame,
    recording_of,
    set_of,
    without_phantom,
)
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import JOINT_SETS, MEDIAPIPE_33
from skeleton_lab.skeletons import HAND_21, Skeleton

_JOINTS = ("keypoints", "keypoint", "kpts", "poses_2d")
_SCORES = ("scores", "keypoint_scores", "keypoint_score", "score", "confidence")
_EACH = re.compile(rf"({'|'.join(_JOINTS)})_?(\d{{1,9}})")
_COUNTS = {skeleton.num_joints for skeleton in JOINT_SETS.values()}


def _looks_like(look: Look) -> bool:
    arrays = look.arrays
    if "" in arrays:
        shape = arrays[""].shape
        return arrays[""].dtype.kind == "f" and len(shape) in (3, 4) and shape[-2] in _COUNTS and shape[-1] in (2, 3)
    found = [arrays[key] for key in _JOINTS if key in arrays] or [arrays[key] for key in arrays if _EACH.fullmatch(key)]
    return any(header.dtype.kind == "f" for header in found)


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path = look.path
    if sum(header.nbytes for header in look.arrays.values()) > 8 * MAX_VALUES:
        raise UserError(f"{path}: holds more than {MAX_VALUES >> 17} MiB of numbers; cut it into parts")
    arrays = {key: archive.read_whole(path, key) for key in look.arrays}
    pairs, numbers = _pairs(path, arrays)
    joints = next((keypoints.shape[1:] for keypoints, _ in pairs if keypoints.ndim == 3), None)
    if joints is None or joints[1] not in (2, 3):
        raise UserError(f"{path}: holds no keypoints of two or three coordinates; {REMEDY}")
    told = str(arrays["joints"].item()) if "joints" in arrays and arrays["joints"].size == 1 else None
    if told is not None and told not in JOINT_SETS:
        raise UserError(f"{path}: its joints are '{told[:40]}', which is no set of joints; it may be one of "
                        f"{', '.join(JOINT_SETS)}")
    skeleton = set_of(path, wanted, joints[0], JOINT_SETS.get(told or ""), flat=joints[1] == 2)\
        if joints[1] == 2 or any(scores is not None for _, scores in pairs) or told or wanted.skeleton \
        else set_of(path, wanted, joints[0])
    facts, ids = _facts(path, arrays, wanted, skeleton)
    frames = []
    for number, (keypoints, scores) in zip(numbers, pairs, strict=True):
        people = _people(path, number, keypoints, scores, skeleton, joints)
        frames.append(Frame(number, people if ids else without_phantom(people), ids))
    if len(frames[0].people) and frames[0].people.shape[2] == 4:
        facts = replace(facts, y_down=facts.unit is not None)
    return [recording_of(str(path), frames, facts)]


def _pairs(path: Path, arrays: dict[str, np.ndarray]) -> tuple[list[tuple[np.ndarray, np.ndarray | None]], list[int]]:
    """Return keypoints (P, V, C) and scores (P, V) of each frame, and the frames' numbers."""
    joints = next((arrays[key] for key in ("", *_JOINTS) if key in arrays), None)
    if joints is None:
        each = sorted((int(found[2]), key, found[1]) for key in arrays if (found := _EACH.fullmatch(key)))
        scores_of = [next((arrays[f"{name}{between}{digits}"] for name in _SCORES for between in ("_", "")
                           if f"{name}{between}{digits}" in arrays), None)
                     for _, key, _ in each for digits in [_EACH.fullmatch(key)[2]]]  # type: ignore[index]
        return [(arrays[key], scores) for (_, key, _), scores in zip(each, scores_of, strict=True)], \
            [number for number, _, _ in each]
    scores = next((arrays[key] for key in _SCORES if key in arrays), None)
    if joints.ndim == 3:
        joints, scores = joints[:, None], None if scores is None else scores[:, None]
    if joints.ndim != 4 or joints.dtype.kind != "f" or not len(joints) or (
            scores is not None and scores.shape != joints.shape[:3]):
        raise UserError(f"{path}: keypoints {joints.shape} and scores {None if scores is None else scores.shape} do "
                        f"not belong together; expected (T, P, V, 2) and (T, P, V)")
    numbers = arrays.get("frame_numbers", np.arange(len(joints)))
    if numbers.shape != (len(joints),) or numbers.dtype.kind not in "iu":
        raise UserError(f"{path}: 'frame_numbers' {numbers.shape} does not number {len(joints)} frames; {REMEDY}")
    return [(joints[place], None if scores is None else scores[place]) for place in range(len(joints))], \
        [int(number) for number in numbers]


def _facts(path: Path, arrays: dict[str, np.ndarray], wanted: Wanted,
           skeleton: Skeleton) -> tuple[Facts, tuple[str, ...] | None]:
    """Return what else the file says, and who stands in each place if it is always the same person."""
    def plain(key: str, size: int) -> list[Any] | None:
        if key not in arrays:
            return None
        if arrays[key].size != size or arrays[key].dtype.kind not in "iuf" or not (arrays[key] > 0).all():
            raise UserError(f"{path}: '{key}' is {arrays[key]!r:.60}; expected {size} number(s) above 0")
        return arrays[key].reshape(-1).tolist()

    fps, size = plain("fps", 1), plain("image_size", 2)
    units = {unit.value: unit for unit in Unit}
    unit = str(arrays["unit"].item()) if "unit" in arrays and arrays["unit"].size == 1 else None
    if unit is not None and unit not in units:
        raise UserError(f"{path}: its unit is '{unit[:40]}'; expected {', '.join(units)}")
    assumed = Unit.PIXELS if skeleton.flat else Unit.SHARES if skeleton in (HAND_21, MEDIAPIPE_33) else None
    ids = tuple(str(word) for word in arrays["ids"].reshape(-1)) if "ids" in arrays else None
    return Facts(skeleton, units[unit] if unit else assumed, wanted.fps or (float(fps[0]) if fps else None),
                 wanted.image_size or ((int(size[0]), int(size[1])) if size else None)), ids


def _people(path: Path, number: int, keypoints: np.ndarray, scores: np.ndarray | None, skeleton: Skeleton,
            joints: tuple[int, ...]) -> np.ndarray:
    """Return (P, V, C + 1); nobody where the frame has an empty array of any shape."""
    scored = scores is None and skeleton.flat and joints[1] == 3
    if not keypoints.size:
        return np.zeros((0, joints[0], joints[1] + (not scored)))
    if keypoints.ndim == 2:
        keypoints, scores = keypoints[None], None if scores is None else scores.reshape(1, -1)
    if keypoints.shape[1:] != joints or (scores is not None and scores.shape != keypoints.shape[:2]) \
            or keypoints.dtype.kind != "f":
        raise UserError(f"{path}: frame {number}: keypoints {keypoints.shape} and scores "
                        f"{None if scores is None else scores.shape} do not fit {joints[0]} joints; {REMEDY}")
    if scored:
        return keypoints.astype(np.float64)
    sure = np.ones(keypoints.shape[:2]) if scores is None else scores
    return np.concatenate([keypoints, sure[..., None]], axis=2, dtype=np.float64)


FORMAT = Format("poses in arrays (rtmlib; .npz, .npy)", (".npz", ".npy"), _looks_like, _read)
