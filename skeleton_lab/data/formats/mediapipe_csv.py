"""MediaPipe's landmarks as people save them in CSV: a row for each frame, or for each person in a frame.

x, y, z and visibility of 33 landmarks (132 columns), or without the latter (99); 84 or 63 of a hand. A first row may
name the columns (`nose_x`, `x0`, `12_visibility`), and a column may hold the frame's number, its time, or who it is.
Frames without anybody are left out, or rows of zeros or of empty fields. Which kind of landmarks they are, the hips
tell (`mediapipe`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.estimates import MAX_FRAMES, REMEDY
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.joint_names import plain
from skeleton_lab.data.formats.mediapipe import NUMBERS, SETS, TIMES, landmarks_recording
from skeleton_lab.data.formats.numbers_in_text import is_number
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError

MAX_BYTES = 256 << 20
_DELIMITERS = ",;\t"
_AXES = {"x": 0, "y": 1, "z": 2, "v": 3, "vis": 3, "visibility": 3, "score": 3, "confidence": 3}
_NAMED = re.compile(r"(?P<joint>.*\d|.+?[_ .\-])[_ .\-]*(?P<axis>x|y|z|v|vis|visibility|score|confidence)", re.ASCII)
_NAMED_BEHIND = re.compile(r"(?P<axis>x|y|z|v|vis|visibility)[_ .\-]*(?P<joint>\d+)", re.ASCII)
_WHO = ("person", "person_id", "id", "track_id", "pose_id", "hand_id")


@dataclass(frozen=True)
class _Columns:
    """Where things stand: landmarks (V, 4), -1 for what is not there; the frame's number, its time, who it is."""

    places: np.ndarray
    number: int | None = None
    time: int | None = None
    time_scale: float = 1.0
    who: int | None = None


def _looks_like(look: Look) -> bool:
    if not look.lines or look.json is not None:
        return False
    return _columns(_cells(look.lines[0].decode("utf-8-sig", "replace"))) is not None


def _cells(line: str) -> list[str]:
    delimiter = max(_DELIMITERS, key=line.count)
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _columns(cells: Sequence[str]) -> _Columns | None:
    """Return what the columns are, by a first row of names or of numbers; None if they are no landmarks."""
    if all(not cell or is_number(cell.encode("utf-8", "replace")) for cell in cells):
        for joints in SETS:
            for values in (4, 3):
                for before in (0, 1):
                    if len(cells) == joints * values + before:
                        places = np.full((joints, 4), -1)
                        places[:, :values] = np.arange(joints * values).reshape(joints, values) + before
                        return _Columns(places, 0 if before else None)
        return None
    return _named_columns(cells)


def _named_columns(cells: Sequence[str]) -> _Columns | None:
    found: dict[str, dict[int, int]] = {}
    own = {}
    for column, cell in enumerate(cell.lower() for cell in cells):
        if cell in (*NUMBERS, *TIMES, *_WHO):
            own[cell] = column
        elif match := _NAMED_BEHIND.fullmatch(cell) or _NAMED.fullmatch(cell):
            joint = match["joint"].strip("_ .-")
            found.setdefault(joint, {})[_AXES[match["axis"]]] = column
    if len(found) not in SETS or any(not {0, 1} <= axes.keys() for axes in found.values()):
        return None
    order = _order(list(found), len(found))
    if order is None:
        return None
    places = np.full((len(found), 4), -1)
    for joint, axes in found.items():
        for axis, column in axes.items():
            places[order[joint], axis] = column
    time = next((key for key in own if key in TIMES), None)
    return _Columns(places, next((own[key] for key in own if key in NUMBERS), None), own[time] if time else None,
                    TIMES[time] if time else 1.0, next((own[key] for key in own if key in _WHO), None))


def _order(joints: list[str], count: int) -> dict[str, int] | None:
    """Return the place of each joint by its name: by the number in it, or by what it is called."""
    digits = [re.findall(r"\d+", joint) for joint in joints]
    if all(len(found) == 1 for found in digits):
        values = [int(found[0]) for found in digits]
        start = min(values)
        return dict(zip(joints, (value - start for value in values), strict=True)) \
            if sorted(values) == list(range(start, start + count)) else None
    names = SETS[count].joint_names
    called = [plain(joint) for joint in joints]
    if set(called) == set(names):
        return {joint: names.index(name) for joint, name in zip(joints, called, strict=True)}
    return {joint: place for place, joint in enumerate(joints)} if count == 21 else None


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path = look.path
    head = look.lines[0].decode("utf-8-sig", "replace")
    delimiter = max(_DELIMITERS, key=head.count)
    columns = _columns(_cells(head))
    assert columns is not None
    named = not all(not cell or is_number(cell.encode("utf-8", "replace")) for cell in _cells(head))
    rows: list[tuple[int | float, np.ndarray]] = []
    ids: list[str | None] = []
    width = len(_cells(head))
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; cut it into parts")
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            for line, cells in enumerate(csv.reader(file, delimiter=delimiter), 1):
                if (line == 1 and named) or not any(cell.strip() for cell in cells[:1] + cells[1:]):
                    if line > 1 and len(cells) == width and columns.number is columns.time is None:
                        rows.append((len(rows), np.zeros((0, 0, 4))))  # all fields are empty: nobody
                        ids.append(None)
                    continue
                if len(cells) != width:
                    raise UserError(f"{path}:{line}: {width} fields expected, found {len(cells)}; {REMEDY}")
                if len(rows) >= MAX_FRAMES:
                    raise UserError(f"{path}: more than {MAX_FRAMES} rows; cut it into parts")
                number, person, who = _row([cell.strip() for cell in cells], columns, len(rows), path, line)
                rows.append((number, person))
                ids.append(who)
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); check the path") from error
    except csv.Error as error:
        raise UserError(f"{path}: is no table ({error}); {REMEDY}") from error
    return [landmarks_recording(str(path), rows, wanted, None, float(columns.time is not None
                                                                     and columns.number is None), ids)]


def _row(cells: list[str], columns: _Columns, place: int, path: Path, line: int) \
        -> tuple[int | float, np.ndarray, str | None]:
    """Return a row's frame number or time, the person in it (1, V, 4) or nobody, and who it is."""
    used = columns.places[columns.places >= 0]
    for column in [*used.tolist(), *(column for column in (columns.number, columns.time) if column is not None)]:
        word = cells[column]
        if word and (not is_number(word.encode("utf-8", "replace")) or word.lower().lstrip("+-")[:3] in ("nan", "inf")):
            raise UserError(f"{path}:{line}: '{word[:40]}' is no number; write the file again with empty fields, or a "
                            "visibility of 0, where nothing was seen")
    number: int | float = place
    if columns.number is not None:
        value = float(cells[columns.number] or "nan")
        if not value.is_integer():
            raise UserError(f"{path}:{line}: '{cells[columns.number][:40]}' is no number of a frame; {REMEDY}")
        number = int(value)
    elif columns.time is not None:
        number = float(cells[columns.time] or "nan") * columns.time_scale
    values = np.array([float(cells[column] or "nan") for column in used])
    if np.isnan(values).all():
        return number, np.zeros((0, 0, 4)), None
    person = np.zeros((1, *columns.places.shape))
    person[0, :, 3] = 1
    person[0][columns.places >= 0] = values
    if columns.places[0, 3] < 0 and not person[..., :3].any():
        person[..., 3] = 0
    return number, person, None if columns.who is None else cells[columns.who]


FORMAT = Format("MediaPipe landmarks, CSV", (".csv",), _looks_like, _read)
