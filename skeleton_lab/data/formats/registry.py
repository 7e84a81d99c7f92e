"""Every format of recordings that the lab reads, behind one face: what is this file, and what is in it?

    for recording in open_recordings(Path("S001C001P001R001A001.skeleton"), Wanted()):
        recording.frames  # (T, M, V, C)

A format is a module of this folder with a `FORMAT`: its name, the usual suffixes of its files, and two functions:

- `looks_like(look: Look) -> bool`: is this file (or folder) of my format? By what is in it, which `Look` offers as its
  first bytes, its arrays' headers, its JSON or its first lines; never by its name. It stays true for a file of the
  format that is damaged further down: `read` says where. The first of `FORMATS` that says yes has the file.
- `read(look: Look, wanted: Wanted) -> Sequence[Recording]`: what is in it. A file of many returns `Recordings`, which
  makes each when it is asked for, from a map of the file. What the format does not tell stays None in the recording:
  confidence, ids, frames a second, class, even the skeleton. Bad input is a `UserError` that names file and place.

To add one: that module, a line in `FORMATS`, a test; see docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.data.formats import (
    alphapose,
    amass,
    archived_clips,
    azure_kinect,
    bvh,
    c3d,
    coco_results,
    extracted,
    kinetics,
    mediapipe,
    mediapipe_csv,
    mmpose,
    msr_action3d,
    npy_clips,
    nw_ucla,
    openpose,
    pku_mmd,
    pose_clips,
    pose_file,
    rtmlib_arrays,
    skeleton_file,
    trc,
    utd_mhad,
    utkinect,
)
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.lookalikes import describe
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError

FORMATS: tuple[Format, ...] = (
    skeleton_file.FORMAT,
    pose_clips.FORMAT,
    extracted.FORMAT,
    archived_clips.FORMAT,
    npy_clips.FORMAT,
    nw_ucla.FORMAT,
    kinetics.FORMAT,
    utd_mhad.FORMAT,
    msr_action3d.FORMAT,
    pku_mmd.FORMAT,
    openpose.FORMAT,
    alphapose.FORMAT,
    coco_results.FORMAT,
    mmpose.FORMAT,
    mediapipe.FORMAT,
    mediapipe_csv.FORMAT,
    rtmlib_arrays.FORMAT,
    azure_kinect.FORMAT,
    pose_file.FORMAT,
    bvh.FORMAT,
    trc.FORMAT,
    c3d.FORMAT,
    amass.FORMAT,
    utkinect.FORMAT,
)
SUFFIXES = tuple(dict.fromkeys(suffix for entry in FORMATS for suffix in entry.suffixes))
KINDS = ", ".join(entry.name for entry in FORMATS)


def format_of(look: Look) -> Format | None:
    """Return the format of a file, or None.

    Raises:
        UserError: there is no such file, or it is damaged so that nothing can be told.
    """
    return next((entry for entry in FORMATS if entry.looks_like(look)), None)


def open_recordings(path: str | Path, wanted: Wanted | None = None) -> Sequence[Recording]:
    """Open the recordings of a file.

    Raises:
        UserError: no such file or clip, it is damaged, or of no format known here: the line says what it looks like.
    """
    look = Look(Path(path))
    found = format_of(look)
    if found is None:
        raise UserError(f"{path}: is no recording that is read here, but looks like {describe(look)}; give one of: "
                        f"{KINDS}")
    return found.read(look, wanted or Wanted())


def files_of(path: Path) -> list[Path]:
    """Return a file, or the files of a folder that may be recordings, sorted by name.

    A folder that is itself a recording, a file for each frame, stays one.

    Raises:
        UserError: the folder holds none.
    """
    if not path.is_dir() or format_of(Look(path)) is not None:
        return [path]
    inside = sorted(child for child in path.iterdir() if (child.suffix in SUFFIXES and child.is_file())
                    or (child.is_dir() and format_of(Look(child)) is not None))
    if not inside:
        raise UserError(f"{path}: holds no recording; known are {KINDS}")
    return inside
