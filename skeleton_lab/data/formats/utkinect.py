"""UTKinect-Action3D (Xia et al., CVPR workshops 2012): a text for each recording, a row for each frame.

61 numbers: the frame's number, then x, y, z in metres of Kinect v1's 20 joints. Numbers have gaps, and some come twice:
of such the first is taken. Each recording holds ten actions, which `actionLabel.txt` beside it tells: "walk: 252 390"
after the recording's name ("s01_e01"); one of all is "NaN NaN". With that file there is a recording for each action.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.estimates import MAX_FRAMES, Facts, Frame, recording_of
from skeleton_lab.data.formats.face import REMEDY, Format, Look, Wanted
from skeleton_lab.data.formats.numbers_in_text import is_number
from skeleton_lab.data.formats.recording import Recording, Recordings, Unit
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import UCLA_20

CLASS_NAMES = ("walk", "sit down", "stand up", "pick up", "carry", "throw", "push", "pull", "wave hands", "clap hands")
MAX_BYTES = 64 << 20
_WORDS = 1 + 3 * UCLA_20.num_joints
_LABELS = "actionLabel.txt"
_NAME = re.compile(r"s\d\d_e\d\d")
_SPAN = re.compile(r"(\w+):\s*(\d{1,9}|NaN)\s+(\d{1,9}|NaN)\s*")


def _looks_like(look: Look) -> bool:
    words = look.lines[0].split() if look.lines else []
    return len(words) == _WORDS and all(map(is_number, words)) and words[0].isdigit()


def _read(look: Look, wanted: Wanted) -> Recordings:
    path = look.path
    frames = _frames(path)
    spans = _spans(path)
    if not spans:
        places = wanted.places(path, 1)
        return Recordings(len(places), lambda number: _recording(str(path), frames))
    places = wanted.places(path, len(spans))

    def make(number: int) -> Recording:
        label, first, last = spans[places[number]]
        name = f"{path}:{places[number]} {CLASS_NAMES[label]}"
        inside = [Frame(frame.number - first, frame.people) for frame in frames if first <= frame.number <= last]
        return _recording(name, inside, label, last - first + 1)

    return Recordings(len(places), make)


def _recording(name: str, frames: list[Frame], label: int | None = None, num_frames: int = 0) -> Recording:
    found = recording_of(name, frames, Facts(UCLA_20, Unit.METRES, y_down=False, num_frames=num_frames))
    return Recording(name, found.frames, UCLA_20, None, label=label, class_names=CLASS_NAMES, centre=0,
                     unit=Unit.METRES, recorded=found.recorded)


def _frames(path: Path) -> list[Frame]:
    """Read the rows.

    Raises:
        UserError: the file cannot be read, or a row is not 61 finite numbers.
    """
    frames: dict[int, Frame] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; {REMEDY}")
        with open(path, "rb") as file:
            for line, text in enumerate(file, 1):
                words = text.split()
                if not words:
                    continue
                if len(words) != _WORDS or not all(map(is_number, words)) or not words[0].isdigit() \
                        or len(words[0]) > 9:
                    raise UserError(f"{path}:{line}: {_WORDS} numbers expected (a frame's number and "
                                    f"{UCLA_20.num_joints} joints), found {len(words)} words; {REMEDY}")
                values = np.array(words[1:], np.float64)
                if not np.isfinite(values).all():
                    raise UserError(f"{path}:{line}: holds a number that is not finite; {REMEDY}")
                joints = values.reshape(1, -1, 3)
                sure = (joints != 0).any(axis=2, keepdims=True).astype(float)
                frames.setdefault(int(words[0]), Frame(int(words[0]), np.concatenate([joints, sure], axis=2)))
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); {REMEDY}") from error
    if len(frames) > MAX_FRAMES:
        raise UserError(f"{path}: {len(frames)} frames, more than {MAX_FRAMES}; {REMEDY}")
    return list(frames.values())


def _spans(path: Path) -> list[tuple[int, int, int]]:
    """Return (class, first frame, last frame) of the actions in a recording; [] where nothing tells."""
    labels, own = path.with_name(_LABELS), _NAME.search(path.stem)
    if own is None or not labels.is_file() or labels.stat().st_size > MAX_BYTES:
        return []
    spans, inside = [], False
    known = {name.replace(" ", ""): label for label, name in enumerate(CLASS_NAMES)}
    for number, line in enumerate(labels.read_text("utf-8", "replace").splitlines(), 1):
        if _NAME.fullmatch(line.strip()):
            inside = line.strip() == own[0]
        elif inside and line.strip():
            found = _SPAN.fullmatch(line.strip())
            if found is None or found[1].lower() not in known:
                raise UserError(f"{labels}:{number}: '{line[:60]}' is no action with its first and last frame; "
                                f"{REMEDY}")
            if "NaN" not in found.groups():
                spans.append((known[found[1].lower()], int(found[2]), int(found[3])))
    return spans


FORMAT = Format("UTKinect text", (".txt",), _looks_like, _read)
