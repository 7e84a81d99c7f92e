"""MediaPipe's landmarks as people save them in JSON: 33 of a pose, or 21 of a hand, for each frame.

    [{"frame": 0, "landmarks": [{"x": 0.5, "y": 0.4, "z": -0.1, "visibility": 0.99}, ...]}, ...]

No such file is prescribed. A frame is a list of landmarks, a list of people, or an object that holds one of them under
`landmarks`, `pose_landmarks`, `pose_world_landmarks` and the like, with its number or time; a landmark is an object or
a list of numbers; or all of a person stand in one row of numbers. Frames without anybody are null, empty, or left out.

Landmarks in the picture have x and y as shares of its width and height, y down, z in widths; in pixels, where the size
of the picture is known. Landmarks in space are metres from the hips' middle, y down, z away from the camera. Where the
file does not name the kind, the hips tell: in space their middle is always the origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skeleton_lab.data.formats.estimates import (
    REMEDY,
    Facts,
    Frame,
    frame_numbers,
    kind_of,
    numbers,
    recording_of,
    whole_number,
)
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.people import assign_people
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import MEDIAPIPE_33
from skeleton_lab.skeletons import HAND_21, Skeleton

SETS = {33: MEDIAPIPE_33, 21: HAND_21}
_IMAGE = ("pose_landmarks", "poseLandmarks", "landmarks", "image_landmarks", "hand_landmarks", "landmark", "keypoints")
_WORLD = ("pose_world_landmarks", "poseWorldLandmarks", "world_landmarks", "worldLandmarks", "hand_world_landmarks")
_LISTS = ("frames", "results", "poses", "data", *_IMAGE, *_WORLD)
NUMBERS = ("frame", "frame_id", "frame_index", "frame_number", "frame_idx", "frame_num", "index")
TIMES = {"timestamp_ms": 1e-3, "timestamp_us": 1e-6, "timestamp_usec": 1e-6, "time_ms": 1e-3, "timestamp_s": 1.0,
         "time_s": 1.0, "time": 1.0, "timestamp": 1.0}
_HIPS = 0.02  # metres that the hips' middle may be off the origin in space
_FRAME_KEY = re.compile(r"[A-Za-z_]*?(\d{1,12})(?:\.\w+)?")
_FLAT = {joints * values: values for joints in SETS for values in (4, 3)}  # landmarks as one row of numbers
_LOOKED_AT = 2000  # frames, for somebody who tells what the file is


def _looks_like(look: Look) -> bool:
    listed = _listed(look.json)
    if listed is None:
        return False
    for frame in listed[:_LOOKED_AT]:
        if isinstance(frame, dict) and any(key in frame for key in (*_IMAGE[:-1], *_WORLD)):
            return True
        found = next(iter(_people(frame)), None) if isinstance(frame, list) else None
        if found:
            return (isinstance(found[0], dict) and {"x", "y"} <= found[0].keys()) or (
                isinstance(frame[0], int | float) and len(frame) in _FLAT)
    return False


def _listed(content: Any) -> list[Any] | None:
    """Return the list of frames; of an object with a key for each frame, "frame_12", frames with their numbers."""
    if not isinstance(content, dict):
        return content if isinstance(content, list) else None
    found = next((content[key] for key in _LISTS if isinstance(content.get(key), list)), None)
    named = {key: _FRAME_KEY.fullmatch(key) for key in content}
    if found is not None or not named or not all(named.values()):
        return found
    return [{"frame": int(match[1]), **(value if isinstance(value, dict) else {"landmarks": value})}
            for key, match in named.items() if match for value in [content[key]]]


def _people(value: Any) -> Iterator[list[Any]]:
    """Yield the landmarks of each person of a frame."""
    if isinstance(value, dict):
        value = next((value[key] for key in _IMAGE if key in value), None)
    if not isinstance(value, list) or not value:
        return
    if isinstance(value[0], int | float) and len(value) in _FLAT:
        width = _FLAT[len(value)]
        yield [value[start:start + width] for start in range(0, len(value), width)]
        return
    first = next((item for item in value if item not in (None, [])), None)
    if "x" in first if isinstance(first, dict) else isinstance(first, list) and not isinstance(first[0], dict | list):
        yield value
    elif isinstance(first, dict | list):
        for item in value:
            yield from _people(item)


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path, content = look.path, look.json
    listed = _listed(content)
    assert listed is not None
    top = content if isinstance(content, dict) else {}
    world = _in_space(top, listed, wanted)
    rows: list[tuple[int | float, np.ndarray]] = []
    by_time = 0.0
    for place, frame in enumerate(listed):
        try:
            number, scale = _number(frame, place)
            by_time = max(by_time, scale)
            rows.append((number, _frame(frame, world)))
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else f"{error!s:.120}"
            raise UserError(f"{path}: frame {place} of its list: {reason}; {REMEDY}") from error
    width, height = top.get("width"), top.get("height")
    if wanted.image_size is None and isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
        wanted = replace(wanted, image_size=(width, height))
    rate = top.get("fps")
    if wanted.fps is None and isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate < 1e6:
        wanted = replace(wanted, fps=float(rate))
    ids = _told_by_picture(listed, rows) if world else []
    if ids:  # in space everybody stands at the origin: who is who, the picture tells
        rows = [(number, people[place:place + 1]) for number, people in rows
                for place in range(max(1, len(people)))]
    return [landmarks_recording(str(path), rows, wanted, world, by_time, ids)]


def _told_by_picture(listed: list[Any], rows: Sequence[tuple[int | float, np.ndarray]]) -> list[str | None]:
    """Return who each person of rows in space is, by landmarks in the picture beside them; [] where these do not tell.

    A row without people counts as one.
    """
    order = sorted(range(len(rows)), key=lambda place: rows[place][0])
    try:
        pictures = [_frame(listed[place], False) for place in order]
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError):
        return []
    counts = [len(rows[place][1]) for place in order]
    if max(counts, default=0) < 2 or [len(picture) for picture in pictures] != counts or \
            not all(np.isfinite(picture).all() for picture in pictures):
        return []
    tracks = assign_people([picture[..., [0, 1, 3]] for picture in pictures], range(len(order)))
    by_row: dict[int, list[str | None]] = {place: [str(track + 1) for track in tracks[rank]] or [None]
                                           for rank, place in enumerate(order)}
    return [word for place in range(len(rows)) for word in by_row[place]]


def _in_space(top: dict, listed: list[Any], wanted: Wanted) -> bool | None:
    """Whether landmarks in space are to be read, by the names in the file; None: it names neither kind."""
    keys = {key for frame in [top, *listed] if isinstance(frame, dict) for key in frame}
    image, world = keys & {*_IMAGE} - {"landmarks", "landmark", "keypoints"}, keys & {*_WORLD}
    if world and (wanted.in_space or not keys & {*_IMAGE}):
        return True
    return False if image or world else None


def _number(frame: Any, place: int) -> tuple[int | float, float]:
    """Return a frame's number and 0, or its time in seconds and 1; its place in the list where it has neither."""
    if isinstance(frame, dict):
        for key in NUMBERS:
            if key in frame:
                return whole_number(frame[key]), 0.0
        for key, scale in TIMES.items():
            if key in frame:
                return float(numbers(frame[key])) * scale, 1.0
    return place, 0.0


def _frame(frame: Any, world: bool | None) -> np.ndarray:
    """Return the people of a frame, (P, V, 4): x, y, z, visibility. Raises ValueError and the like."""
    if world and isinstance(frame, dict):
        frame = next((frame[key] for key in _WORLD if key in frame), None)
    elif isinstance(frame, dict) and not any(key in frame for key in _IMAGE):
        raise ValueError("holds no landmarks")
    if frame is not None and not isinstance(frame, dict | list):
        raise ValueError(f"{frame!r:.30} is no list of landmarks")
    people = [np.array([_landmark(entry) for entry in person]) for person in _people(frame)]
    if len({person.shape for person in people}) > 1 or any(len(person) not in SETS for person in people):
        raise ValueError(f"{' and '.join(str(len(person)) for person in people)} landmarks; a pose has 33, a hand 21")
    return np.stack(people) if people else np.zeros((0, 0, 4))


def _landmark(entry: Any) -> list[float]:
    """Return x, y, z, visibility; one without the latter counts as seen."""
    if isinstance(entry, dict):
        values = [entry["x"], entry["y"], entry.get("z", 0.0), entry.get("visibility", entry.get("score", 1.0))]
    elif isinstance(entry, list) and len(entry) in (2, 3, 4):
        values = [*entry, *([0.0] if len(entry) == 2 else []), *([1.0] if len(entry) < 4 else [])]
    else:
        raise ValueError(f"{entry!r:.40} is no landmark")
    x, y, z, sure = numbers(values).tolist()
    return [x, y, z, sure]


def landmarks_recording(name: str, rows: Sequence[tuple[int | float, np.ndarray]], wanted: Wanted, world: bool | None,
                        by_time: float = 0.0, ids: Sequence[str | None] = ()) -> Recording:
    """Return a recording of rows of people (P, V, 4), each with its frame's number or, `by_time`, its second.

    Args:
        world: whether they are in space; None: as the hips tell. ids: who each row is, where rows are people.

    Raises:
        UserError: as `estimates.recording_of`, or the numbers of landmarks differ.
    """
    count, _ = kind_of(name, [Frame(place, people) for place, (_, people) in enumerate(rows)])
    skeleton = wanted.skeleton or SETS[count]
    if skeleton.num_joints != count:
        raise UserError(f"{name}: has {count} joints, {skeleton.name} has {skeleton.num_joints}; choose other --joints")
    grouped: dict[int | float, list[tuple[np.ndarray, str | None]]] = {}
    for place, (number, people) in enumerate(rows):
        grouped.setdefault(number, []).extend(
            (person, ids[place] if ids else None) for person in people)
    keys = sorted(grouped)
    rate = wanted.fps
    try:
        places = [int(key) for key in keys]
        if by_time:
            places, rate = frame_numbers(keys, wanted.fps)
    except ValueError as error:
        raise UserError(f"{name}: {error}; {REMEDY}") from error
    world = _hips_are_the_origin([people for _, people in rows if len(people)], skeleton) if world is None else world
    scale = np.ones(4)
    if not world and wanted.image_size:
        scale[:3] = wanted.image_size[0], wanted.image_size[1], wanted.image_size[0]
    frames = []
    for key, place in zip(keys, places, strict=True):
        poses = [person * scale for person, _ in grouped[key]]
        known = tuple(word for _, word in grouped[key] if word is not None)
        frames.append(Frame(place, np.stack(poses) if poses else np.zeros((0, count, 4)),
                            known if known and len(known) == len(poses) else None))
    unit = Unit.METRES if world else Unit.PIXELS if wanted.image_size else Unit.SHARES
    return recording_of(name, frames, Facts(skeleton, unit, rate, None if world else wanted.image_size))


def _hips_are_the_origin(frames: Sequence[np.ndarray], skeleton: Skeleton) -> bool:
    """Whether landmarks are in space; those of a hand that say nothing are taken to be in the picture."""
    if skeleton is not MEDIAPIPE_33 or not frames:
        return False
    people = np.concatenate(frames)
    people = people[(people[..., :3] != 0).any(axis=(1, 2))]
    hips = [skeleton.joint_names.index(f"{side} hip") for side in ("left", "right")]
    return bool(len(people)) and bool((np.abs(people[:, hips, :2].mean(axis=1)) < _HIPS).all())


FORMAT = Format("MediaPipe landmarks, JSON", (".json",), _looks_like, _read)
