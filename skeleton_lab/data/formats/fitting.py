"""Recordings of pose estimators, body trackers and motion capture, as a model's data have people: joints, axes, unit.

    recording = fitted(recording, NTU_25)    # metres, y up, two people at most
    clip = archive_clip(recording)           # (C, T, V, M) float32, as archives hold clips

For a skeleton in space (NTU RGB+D's) coordinates become metres with y up, x and z as a Kinect has them; flat joints get
z = 0 and the size that a person has. For a flat one (COCO's) they become pixels, y down; from space by leaving depth
out. Joints that were not seen stand where the joint is on which they hang in space, so that no bone leads to the origin
and back; in a picture they stay 0, and their score tells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skeleton_lab.data.formats.joint_sets import can_convert, mapping_lines, to_joint_set
from skeleton_lab.data.formats.occupied import between_bodies
from skeleton_lab.data.formats.people import by_relevance
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import NothingToSee, note
from skeleton_lab.skeleton_names import same_joints
from skeleton_lab.skeletons import NTU_25, UCLA_20, Skeleton

TRUNK_M = 0.5  # from the middle of the hips to that of the shoulders, in metres
PICTURE, PIXELS_PER_METRE = (1920, 1080), 300  # of the picture that people in space are laid into
SQUARE = 1000  # pixels, of a picture of which only shares are known
MOST_PEOPLE = 2  # whom models of interactions take
_UNITS_M = {"metres": 1.0, "centimetres": 0.01, "inches": 0.0254, "millimetres": 0.001}
_BASE, _TOP = 0, 20  # NTU's joints at the ends of the trunk


def fitted(recording: Recording, target: Skeleton, people: int = MOST_PEOPLE) -> Recording:
    """Return a recording with the joints of `target`, the `people` who matter most, the first of them first.

    Says, once for all recordings of a kind, how joints were taken, and for each recording who was left out.

    Raises:
        UserError: no table leads from its joints to those.
        NothingToSee: nobody is in it.
    """
    source = recording.known_skeleton()
    recording = of_people(recording, people)
    frames, sure = np.asarray(recording.frames, np.float64), recording.confidence
    assert sure is not None
    for line in mapping_lines(source, target) if not same_joints(source, target) else ():
        note(line)
    frames, sure = to_joint_set(frames, sure, source, target)
    unit = recording.unit or (None if recording.from_poses or frames.shape[3] == 2 else Unit.METRES)
    made = replace(recording, held=frames, confidence=sure, skeleton=target, unit=unit)
    if target.flat or not same_joints(target, NTU_25):
        return _in_picture(made, source)
    return _in_space(made, source)


def fit_joints(recording: Recording, target: Skeleton | None) -> Recording:
    """Return a recording of a pose estimator or the like `fitted` to a model's joints; any other as it is.

    So is one whose joints lead to those of the model by no table, which whoever takes it will refuse.

    Raises:
        NothingToSee: nobody is in it.
    """
    if not recording.from_poses or recording.skeleton is None:
        return recording
    if target is None or not can_convert(recording.skeleton, target):
        return of_people(recording)
    return fitted(recording, target)


def of_people(recording: Recording, most: int = MOST_PEOPLE) -> Recording:
    """Return a recording with the people who matter most, at most so many, the first of them first; confidences in it.

    Raises:
        NothingToSee: nobody is in it.
    """
    frames = np.asarray(recording.frames)
    sure = (frames != 0).any(axis=3).astype(float) if recording.confidence is None else recording.confidence
    if not (sure > 0).any():
        raise NothingToSee(f"{recording.name}: no frame holds a body; leave it out")
    chosen = by_relevance(frames, sure)[:most]
    ids = recording.body_ids or tuple(str(place + 1) for place in range(frames.shape[1]))
    kept = tuple(ids[place] for place in chosen)
    if frames.shape[1] > most:
        note(f"{recording.name}: of {frames.shape[1]} people {' and '.join(kept)} {'is' if most == 1 else 'are'} "
             "taken, seen longest and most surely, and moving")
    return replace(recording, held=frames[:, chosen], confidence=np.asarray(sure[:, chosen]), body_ids=kept)


def _in_picture(recording: Recording, source: Skeleton) -> Recording:
    """Return joints as pixels, (T, M, V, 2), y down; a hand's as shares, if they are."""
    frames, unit = recording.frames, recording.unit
    assert recording.confidence is not None
    seen = (recording.confidence > 0)[..., None]
    size = recording.image_size
    if unit is Unit.METRES or (unit is None and frames.shape[3] == 3):
        turned = not recording.y_down and any(same_joints(source, known) for known in (NTU_25, UCLA_20))
        axes = np.array([-1 if turned else 1, 1 if recording.y_down else -1])
        frames = frames[..., :2] * axes * PIXELS_PER_METRE + np.array(PICTURE) / 2
        size, unit = PICTURE, Unit.PIXELS
        note(f"joints in space: depth is left out, and a metre becomes {PIXELS_PER_METRE} pixels of a picture of "
             f"{PICTURE[0]}x{PICTURE[1]}")
    elif unit is Unit.SHARES and recording.known_skeleton().flat:
        frames, size, unit = frames[..., :2] * SQUARE, (SQUARE, SQUARE), Unit.PIXELS
        note("shares of a picture of unknown size: a square one is assumed; say --image-size WIDTHxHEIGHT otherwise")
    return replace(recording, held=np.where(seen, frames[..., :2], 0), unit=unit, image_size=size, y_down=True)


def _in_space(recording: Recording, source: Skeleton) -> Recording:
    """Return NTU RGB+D's joints in metres, (T, M, V, 3), y up."""
    frames, sure = recording.frames, recording.confidence
    assert sure is not None
    if frames.shape[3] == 2:
        note("flat joints: depth is 0, and their size becomes a person's; a model trained on joints in space, such as "
             "a Kinect's, will do worse on them")
        frames = np.concatenate([frames, np.zeros_like(frames[..., :1])], axis=3)
    if recording.y_down:
        frames = frames * (-1, -1, 1)  # half a turn about the line of sight: no mirror
    elif recording.from_poses:
        frames = _upright(frames, sure)
    if recording.unit is not Unit.METRES:
        frames = frames * _scale(recording, frames, sure)
    return replace(recording, held=_filled(frames, sure, recording.known_skeleton()), unit=Unit.METRES, y_down=False,
                   image_size=None)


def _trunk(frames: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Return the trunks of all people in all frames, (n, C), from the hips' middle to the shoulders'."""
    there = (sure[..., _BASE] > 0) & (sure[..., _TOP] > 0)
    return np.asarray((frames[..., _TOP, :] - frames[..., _BASE, :])[there])


def _scale(recording: Recording, frames: np.ndarray, sure: np.ndarray) -> float:
    """Return metres for each unit of coordinates, by the length of the trunk: of motion capture a usual unit."""
    trunk = _trunk(frames, sure)
    length = float(np.median(np.linalg.norm(trunk, axis=1))) if len(trunk) else 0.0
    if length <= 0:
        note(f"{recording.name}: no trunk is seen, which would tell its scale; taken as it is")
        return 1.0
    if recording.unit is None:
        unit = min(_UNITS_M, key=lambda name: abs(np.log(_UNITS_M[name] * length / TRUNK_M)))
        note(f"the unit of the files is not told: {unit} are taken, by the length of the trunk")
        return _UNITS_M[unit]
    return TRUNK_M / length


def _upright(frames: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Turn people so that y is up, where their trunks are mostly along another axis: motion capture has z up, often."""
    trunk = _trunk(frames, sure)
    if not len(trunk):
        return frames
    mean = trunk.mean(axis=0)
    axis = int(np.abs(mean).argmax())
    if axis == 1 and mean[1] > 0:
        return frames
    note(f"{'-' if mean[axis] < 0 else ''}{'xyz'[axis]} is up in the files, by the trunk; turned so that y is")
    rotation = np.zeros((3, 3))
    rotation[1, axis] = np.sign(mean[axis])
    others = [number for number in range(3) if number != axis]
    rotation[0, others[0]] = rotation[2, others[1]] = 1
    rotation[2] *= np.linalg.det(rotation)  # no mirror
    return np.asarray(frames @ rotation.T)


def _filled(frames: np.ndarray, sure: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Put joints that were not seen where the joint is on which they hang; those of nobody stay 0."""
    filled = frames.copy()
    there = np.asarray((sure > 0).any(axis=2))  # (T, M)
    seen = (sure > 0)[..., None]
    middle = (frames * seen).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)  # (T, M, C)
    waiting, done = list(range(skeleton.num_joints)), set[int]()
    while waiting:
        for joint in [joint for joint in waiting if joint == skeleton.root or skeleton.parents[joint] in done]:
            instead = middle if joint == skeleton.root else filled[:, :, skeleton.parents[joint]]
            filled[:, :, joint] = np.where(seen[:, :, joint], frames[:, :, joint], instead)
            waiting.remove(joint)
            done.add(joint)
    return np.where(there[..., None, None], filled, 0)


def archive_clip(recording: Recording, people: int = 2) -> np.ndarray:
    """Return a fitted recording in space as archives hold clips: (C, T, V, M) float32.

    From its first frame with a body to its last; the middle of the first person's spine begins at the origin, and
    people who are absent, or fewer than `people`, are zeros.

    Raises:
        NothingToSee: nobody is in it.
    """
    frames = between_bodies(recording.frames)[:, :people]
    present = (frames != 0).any(axis=(2, 3))  # (T, M)
    if not present.any():
        raise NothingToSee(f"{recording.name}: no frame holds a body; leave it out")
    first = int(present[:, 0].argmax()) if present[:, 0].any() else 0
    person = 0 if present[:, 0].any() else int(present[0].argmax())
    moved = np.where(present[..., None, None], frames - frames[first, person, 1], 0)
    clip = np.zeros((3, len(frames), frames.shape[2], people), np.float32)
    clip[..., :frames.shape[1]] = moved.transpose(3, 0, 2, 1)  # (T, M, V, C) -> (C, T, V, M)
    return clip
