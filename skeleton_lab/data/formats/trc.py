"""TRC: markers in tab-separated text, a row for each frame.

Line 3 tells rate, numbers of frames and markers, and the unit; line 4 the markers' names, each followed by two tabs;
then rows of frame number, time, and x, y, z of each marker, empty where it was not seen. y up, as Pose2Sim writes them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.estimates import MAX_VALUES, REMEDY
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.markers import recording_of_markers
from skeleton_lab.data.formats.numbers_in_text import is_number
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError

MAX_BYTES = 256 << 20
_HEADER_LINES = 5


def _looks_like(look: Look) -> bool:
    return look.head.startswith(b"PathFileType")


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path = look.path
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; cut it into parts")
        lines = path.read_text("utf-8-sig", "replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); check the path") from error
    if len(lines) < _HEADER_LINES:
        raise UserError(f"{path}: has {len(lines)} lines, fewer than the {_HEADER_LINES} of a header; {REMEDY}")
    told = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
    names = [name.strip() for name in lines[3].split("\t")[2:] if name.strip()]
    if told.get("NumMarkers", "").strip() not in ("", str(len(names))):
        raise UserError(f"{path}:3: tells of {told['NumMarkers']!s:.20} markers, line 4 names {len(names)}; {REMEDY}")
    if not names or len(names) * 3 * len(lines) > MAX_VALUES:
        raise UserError(f"{path}:4: names {len(names)} markers for {len(lines)} lines; {REMEDY}")
    rows = [(number, line) for number, line in enumerate(lines[_HEADER_LINES:], _HEADER_LINES + 1) if line.strip()]
    if not rows:
        raise UserError(f"{path}: holds no frame; leave it out")
    numbers, points = zip(*(_row(path, number, line, len(names)) for number, line in rows), strict=True)
    first = numbers[0]
    rate = told.get("DataRate", "").strip()
    return [recording_of_markers(path, names, np.array(points).reshape(len(points), -1, 3), told.get("Units", ""),
                                 float(rate) if is_number(rate.encode()) else None, wanted,
                                 [number - first for number in numbers])]


def _row(path: Path, number: int, line: str, markers: int) -> tuple[int, list[float]]:
    """Return a frame's number, and x, y, z of each marker, NaN where it was not seen."""
    cells = [cell.strip() for cell in line.split("\t")]
    cells = cells[:2 + 3 * markers] + [cell for cell in cells[2 + 3 * markers:] if cell]
    if len(cells) < 2 + 3 * markers:
        cells += [""] * (2 + 3 * markers - len(cells)) if len(cells) >= 2 and line.endswith("\t") else []
    if len(cells) != 2 + 3 * markers:
        raise UserError(f"{path}:{number}: {2 + 3 * markers} fields expected ({markers} markers), found {len(cells)}; "
                        f"{REMEDY}")
    for cell in cells:
        if cell and (not is_number(cell.encode("utf-8", "replace")) or cell.lower().lstrip("+-")[:3] in ("nan", "inf")):
            raise UserError(f"{path}:{number}: '{cell[:40]}' is no number; leave a field empty where nothing was seen")
    if not cells[0].isdigit() or len(cells[0]) > 18:
        raise UserError(f"{path}:{number}: '{cells[0][:40]}' is no number of a frame; {REMEDY}")
    return int(cells[0]), [float(cell) if cell else np.nan for cell in cells[2:]]


FORMAT = Format("TRC", (".trc",), _looks_like, _read)
