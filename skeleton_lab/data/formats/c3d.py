"""C3D: markers of motion capture in a binary file, read by the library ezc3d, which is optional, in a process of
its own.

Each point has a label; `POINT:RATE` and `POINT:UNITS` tell rate and unit. A point that was not seen has residual -1,
which ezc3d gives as NaN; some writers leave 0, 0, 0.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from skeleton_lab.children import run_child
from skeleton_lab.data.formats.estimates import MAX_VALUES
from skeleton_lab.data.formats.face import REMEDY, Format, Look, Wanted
from skeleton_lab.data.formats.markers import recording_of_markers
from skeleton_lab.data.formats.optional import require
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError

_HEADER_BYTES = 12
_SCRIPT = Path(__file__).with_name("c3d_points.py")


def _looks_like(look: Look) -> bool:
    return len(look.head) > _HEADER_BYTES and look.head[1] == 0x50 and 2 <= look.head[0] <= 8


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path = look.path
    _check_size(path, look.head)
    require(path, "ezc3d")
    with TemporaryDirectory(prefix="skeleton-lab-") as folder:
        output = Path(folder, "points.npz")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        ended = run_child([sys.executable, _SCRIPT, path, output], env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE)
        if ended.returncode:
            reason = (ended.stderr or "").strip().rpartition("\n")[2] or f"ended with {ended.returncode}"
            raise UserError(f"{path}: is damaged, or no C3D (ezc3d: {reason:.80}); {REMEDY}")
        with np.load(output, allow_pickle=False) as arrays:
            points, labels, rate, units = (arrays[key] for key in ("points", "labels", "rate", "units"))
    if not len(labels) or len(labels) != points.shape[1]:
        raise UserError(f"{path}: names {len(labels)} of {points.shape[1]} points; {REMEDY}")
    return [recording_of_markers(path, labels.tolist(), points, str(units), float(rate), wanted)]


def _check_size(path: Path, head: bytes) -> None:
    """Refuse a header that speaks of more than the file holds, before the library makes room for it."""
    points, _, first, last = struct.unpack_from("<HHHH", head, 2)
    frames = max(0, last - first + 1)
    if points * frames * 3 > MAX_VALUES or points * frames * 4 * 2 > path.stat().st_size:
        raise UserError(f"{path}: tells of {frames} frames of {points} points, more than it holds; {REMEDY}")


FORMAT = Format("C3D", (".c3d",), _looks_like, _read)
