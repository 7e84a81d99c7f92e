"""What the readers of pose estimators share: from people listed frame by frame to a recording.

A frame stands where its number says; frames that are not listed stay empty, and `Recording.recorded` tells them from
those in which nobody was seen. A joint that was not seen is 0 with confidence 0. People keep the ids that a file gives
them; where it gives none, or the same one twice in a frame, `people.assign_people` tells who is who.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.people import assign_people, placed
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import NothingToSee, UserError, note
from skeleton_lab.own_skeletons import COCO_133, HALPE_26, HALPE_136, JOINT_SETS
from skeleton_lab.skeletons import COCO_17, HAND_21, OPENPOSE_18, Skeleton

MAX_FRAMES = 200_000
MAX_VALUES = 1 << 26  # of a recording
MAX_PEOPLE = 20  # whom a recording keeps, those seen longest
PHANTOM = 0.3  # mean confidence below which an estimator that must find somebody has found nobody
REMEDY = "write it again with the estimator, or leave it out"
_DIGITS = re.compile(r"\d+")
# What estimators mean by so many joints in a picture. Others have several meanings.
_USUAL = {17: COCO_17, 18: OPENPOSE_18, 21: HAND_21, 26: HALPE_26, 133: COCO_133, 136: HALPE_136}


@dataclass(frozen=True, eq=False)
class Frame:
    """The people of one frame in the file's order: (P, V, C + 1) float64, coordinates and confidence; their ids."""

    number: int
    people: np.ndarray
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Facts:
    """What holds for a whole recording; see `Recording`. num_frames: where the file tells it besides its last frame."""

    skeleton: Skeleton
    unit: Unit | None = Unit.PIXELS
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    y_down: bool = True
    num_frames: int = 0


def recording_of(name: str, frames: Sequence[Frame], facts: Facts) -> Recording:
    """Return people listed frame by frame, in any order, as a recording.

    Raises:
        UserError: a frame is listed twice, or stands too far out, a number is infinite, or it would be too large.
        NothingToSee: nobody is in it.
    """
    kind = kind_of(name, frames)
    frames = _counted(name, sorted(frames, key=lambda frame: frame.number))
    seen = [_seen(name, frame, kind) for frame in frames]
    kind_of(name, seen)
    detections, numbers = [frame.people for frame in seen], [frame.number for frame in seen]
    length = max(numbers[-1] + 1, facts.num_frames)
    if length > MAX_FRAMES:
        raise UserError(f"{name}: {length} frames, more than {MAX_FRAMES}; cut it into parts")
    tracks, ids = _who_is_who(name, seen)
    tracks, ids = _longest_seen(name, tracks, ids)
    detections = [people[track >= 0] for people, track in zip(detections, tracks, strict=True)]
    joints, channels = detections[0].shape[1:]
    if length * len(ids) * joints * channels > MAX_VALUES:
        raise UserError(f"{name}: {length} frames of {len(ids)} people and {joints} joints are too much to hold; cut "
                        "it into parts")
    coordinates, confidence = placed(detections, numbers, [track[track >= 0] for track in tracks], length)
    recorded = np.zeros(length, bool)
    recorded[numbers] = True
    return Recording(name, coordinates, facts.skeleton, confidence, ids, facts.fps, y_down=facts.y_down,
                     image_size=facts.image_size, unit=facts.unit, recorded=None if recorded.all() else recorded,
                     from_poses=True)


def _counted(name: str, frames: list[Frame]) -> list[Frame]:
    """Return frames, ascending, under numbers that can be places in a recording."""
    for first, second in pairwise(frames):
        if first.number == second.number:
            raise UserError(f"{name}: lists frame {first.number} twice; {REMEDY}")
    if frames and (frames[0].number < 0 or frames[-1].number >= MAX_FRAMES):
        start = frames[0].number
        if frames[-1].number - start >= MAX_FRAMES:
            raise UserError(f"{name}: its frames are numbered from {start} to {frames[-1].number}, which are no places "
                            "in one recording; number them one after the other")
        note(f"{name}: its frames are numbered from {start} on, which is taken for the first")
        return [Frame(frame.number - start, frame.people, frame.ids) for frame in frames]
    return frames


def kind_of(name: str, frames: Sequence[Frame]) -> tuple[int, int]:
    """Return (V, C + 1) of the people in frames.

    Raises:
        UserError: they differ. NothingToSee: there is nobody.
    """
    kind = None
    for frame in frames:
        if len(frame.people):
            if kind is not None and frame.people.shape[1:] != kind:
                raise UserError(f"{name}: frame {frame.number} has {frame.people.shape[1]} joints in "
                                f"{frame.people.shape[2] - 1} coordinates, a frame before it {kind[0]} in "
                                f"{kind[1] - 1}; {REMEDY}")
            kind = frame.people.shape[1], frame.people.shape[2]
    if kind is None:
        raise NothingToSee(f"{name}: nobody was seen in any of its {len(frames)} frames; leave it out")
    return kind


def _seen(name: str, frame: Frame, kind: tuple[int, int]) -> Frame:
    """Return a frame without people of whom no joint was seen; other joints that were not are 0."""
    people = np.array(frame.people, np.float64) if len(frame.people) else np.zeros((0, *kind))
    if np.isinf(people).any():
        raise UserError(f"{name}: frame {frame.number} holds a number that is not finite; {REMEDY}")
    there = np.isfinite(people).all(axis=2) & (people[..., -1] > 0)
    if kind[1] == 3:  # in a picture, 0, 0 is no joint; in space, the origin may be one's place
        there &= (people[..., :-1] != 0).any(axis=2)
    people = np.where(there[..., None], people, 0)
    kept = (people[..., :-1] != 0).any(axis=(1, 2))
    ids = None if frame.ids is None else tuple(word for word, keep in zip(frame.ids, kept, strict=True) if keep)
    return Frame(frame.number, people[kept], ids)


def _who_is_who(name: str, frames: Sequence[Frame]) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return for each frame the number of each of its people, and what the people are called."""
    given = all(frame.ids is not None for frame in frames if len(frame.people))
    if given and any(len(set(frame.ids or ())) < len(frame.people) for frame in frames):
        note(f"{name}: gives one id to two people of a frame; who is who is told by their places instead")
        given = False
    if given:
        names = {word: number for number, word in enumerate(dict.fromkeys(
            word for frame in frames for word in frame.ids or ()))}
        return [np.array([names[word] for word in frame.ids or ()], np.int64) for frame in frames], tuple(names)
    tracks = assign_people([frame.people for frame in frames], [frame.number for frame in frames])
    count = max(int(track.max()) + 1 for track in tracks if len(track))
    return tracks, tuple(str(number + 1) for number in range(count))


def _longest_seen(name: str, tracks: list[np.ndarray], ids: tuple[str, ...]) -> tuple[list[np.ndarray],
                                                                                    tuple[str, ...]]:
    """Leave out those who were seen least where there are too many to hold: their number becomes -1."""
    if len(ids) <= MAX_PEOPLE:
        return tracks, ids
    seen = np.bincount(np.concatenate(tracks), minlength=len(ids))
    kept = np.sort(np.argsort(-seen, kind="stable")[:MAX_PEOPLE])
    note(f"{name}: {len(ids)} people appear; the {MAX_PEOPLE} who are seen longest are kept")
    renumbered = np.full(len(ids), -1, np.int64)
    renumbered[kept] = np.arange(len(kept))
    return [renumbered[track] for track in tracks], tuple(ids[person] for person in kept)


def numbers(value: Any) -> np.ndarray:
    """Return lists of numbers and nulls as float64, NaN for null; ValueError if they hold anything else."""
    array = np.asarray(value)
    if array.dtype.kind == "O":
        if not all(item is None or (isinstance(item, int | float) and not isinstance(item, bool))
                   for item in array.ravel()):
            raise ValueError("something in it is no number")
        array = array.astype(np.float64)
    if array.size and array.dtype.kind not in "iuf":
        raise ValueError("something in it is no number")
    return array.astype(np.float64)


def triples(value: Any, channels: int = 3) -> np.ndarray:
    """Return x, y, confidence, x, y, ... as (V, 3) float64; ValueError if it is no such list."""
    array = numbers(value)
    if array.ndim != 1 or array.size % channels:
        raise ValueError(f"{array.size} numbers, which are no {channels} for each joint")
    return array.reshape(-1, channels)


def whole_number(value: Any) -> int:
    """Return a number that counts something, such as a frame; ValueError if it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r:.30} is no whole number")
    return value


def number_in(name: str) -> int:
    """Return the number that a picture's name ends on; ValueError if there is none."""
    found = _DIGITS.findall(Path(name).stem.removesuffix("_keypoints"))
    if not found or len(found[-1]) > 18:
        raise ValueError(f"the name '{name[:60]}' holds no number of a frame")
    return int(found[-1])


def frame_numbers(times_s: Sequence[float], fps: float | None) -> tuple[list[int], float]:
    """Return where frames stand that are known by their time, the first at 0, and the frames a second.

    Raises:
        ValueError: the times do not grow.
    """
    times = np.asarray(times_s, np.float64)
    steps = np.diff(times)
    if not np.isfinite(times).all() or (steps <= 0).any():
        raise ValueError("the times of the frames do not grow")
    rate = fps or (float(1 / np.median(steps)) if len(steps) else 30.0)
    with np.errstate(over="ignore"):
        places = np.round((times - times[0]) * rate) if len(times) else times
    if len(places) and places[-1] >= MAX_FRAMES:
        raise ValueError(f"the times of the frames reach over {places[-1]:.0f} frames")
    return [int(place) for place in places], rate


def set_of(path: str | Path, wanted: Wanted, count: int, own: Skeleton | None = None, flat: bool = True) -> Skeleton:
    """Return which joints they are: as the user said, as the file says, or as usual where that is but one.

    Raises:
        UserError: it cannot be known, or what was said has another number of joints.
    """
    told = wanted.skeleton or own
    if told is not None:
        if told.num_joints != count:
            raise UserError(f"{path}: has {count} joints, {told.name} has {told.num_joints}; choose other --joints")
        return told
    if count in _USUAL and (flat or count == HAND_21.num_joints):
        if count == COCO_17.num_joints:
            note("17 joints in a picture are taken for COCO's; say --joints if they are others")
        return _USUAL[count]
    fitting = [name for name, skeleton in JOINT_SETS.items() if skeleton.num_joints == count]
    if not fitting:
        raise UserError(f"{path}: has {count} joints, as many as no set that is known here; {REMEDY}")
    raise UserError(f"{path}: does not say which set its {count} joints are; say it with --joints "
                    f"{' or --joints '.join(fitting)}")


def without_phantom(people: np.ndarray) -> np.ndarray:
    """Return nobody in place of one person (1, V, C + 1) of whom hardly a joint was seen: a guess at an empty picture.
    """
    scores = people[..., -1]
    return people[:0] if len(people) == 1 and np.where(np.isnan(scores), 0, scores).mean() < PHANTOM else people
