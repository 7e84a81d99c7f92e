"""What extract_poses.py writes: the people of a video, an `.npz` with a row for each person in each frame.

- `picture` (R, V, 3) float32: x and y in pixels, y down, and the confidence of each joint, 0 where it was not seen;
- `space` (R, V, 3) float32, if the estimator tells it: metres, y down, the origin as it has it (MediaPipe: the hips);
- `frame` (R,) and `person` (R,) int64: which frame a row is of, from 0, and which person; ids keep to one person;
- `times_s` (T,) float64: when each frame of the video was taken, from 0; frames without a row show nobody;
- `about`: JSON with `joints` (a name of `own_skeletons.JOINT_SETS`), `fps`, `image_size` (width, height), and how the
  file was made: `video`, `video_bytes`, `estimator`, `model`, `people`, `version`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import JOINT_SETS

KEYS = ("picture", "frame", "person", "times_s", "about")
MAX_FRAMES = 200_000
MAX_VALUES = 1 << 26
_REMEDY = "make it again with extract_poses.py"


def write_extracted(path: Path, rows: Mapping[str, np.ndarray], times_s: Sequence[float],
                    about: Mapping[str, Any]) -> None:
    """Write rows (`picture`, `frame`, `person` and perhaps `space`, see above) and what is known of the video."""
    with archive.NpzWriter(path) as writer:
        for key, array in rows.items():
            writer.write(key, array)
        writer.write("times_s", np.asarray(times_s, np.float64))
        writer.write("about", np.array(json.dumps(dict(about))))


def read_about_of(path: Path) -> dict[str, Any]:
    """Return what such a file says of itself; UserError if it is damaged."""
    try:
        about = json.loads(str(archive.read_whole(path, "about")))
    except ValueError as error:
        raise UserError(f"{path}: 'about' is no JSON; {_REMEDY}") from error
    if not isinstance(about, dict):
        raise UserError(f"{path}: 'about' is no JSON object; {_REMEDY}")
    return about


def _looks_like(look: Look) -> bool:
    return set(KEYS) <= look.arrays.keys()


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path, about = look.path, read_about_of(look.path)
    wanted.places(path, 1)
    skeleton = JOINT_SETS.get(str(about.get("joints")))
    fps: Any = about.get("fps")
    size: Any = about.get("image_size")
    headers = look.arrays
    rows, joints = (headers["picture"].shape[:2] if len(headers["picture"].shape) == 3 else (0, 0))
    in_space = "space" in headers and wanted.in_space
    shapes_fit = (headers["picture"].shape == (rows, joints, 3) and headers["frame"].shape == (rows,)
                  and headers["person"].shape == (rows,) and len(headers["times_s"].shape) == 1
                  and (not in_space or headers["space"].shape == (rows, joints, 3)))
    if skeleton is None or skeleton.num_joints != joints or not shapes_fit or not _counts([fps], 1):
        raise UserError(f"{path}: its arrays do not belong together; {_REMEDY}")
    frame, person, times_s = (archive.read_whole(path, key) for key in ("frame", "person", "times_s"))
    picture = archive.read_whole(path, "picture")
    places = archive.read_whole(path, "space") if in_space else picture[..., :2]
    length = len(times_s)
    ids, body = np.unique(person, return_inverse=True)
    if not rows or not 0 < length <= MAX_FRAMES or not (np.isfinite(places).all() and np.isfinite(picture).all()) \
            or frame.dtype.kind != "i" or person.dtype.kind != "i" or not ((frame >= 0) & (frame < length)).all() \
            or length * len(ids) * joints * places.shape[2] > MAX_VALUES:
        raise UserError(f"{path}: holds nobody, or numbers that cannot be; {_REMEDY}")
    frames = np.zeros((length, len(ids), joints, places.shape[2]), np.float32)
    confidence = np.zeros(frames.shape[:3], np.float32)
    frames[frame, body], confidence[frame, body] = places, picture[..., 2]
    image_size = (int(size[0]), int(size[1])) if _counts(size, 2) else None
    return [Recording(str(path), frames, skeleton, confidence, tuple(str(word) for word in ids), float(fps),
                      y_down=True, image_size=None if in_space else image_size,
                      unit=Unit.METRES if in_space else Unit.PIXELS, from_poses=True)]


def _counts(values: object, length: int) -> bool:
    """Whether it is a list of so many numbers above 0."""
    return isinstance(values, list) and len(values) == length and all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9 for value in values)


FORMAT = Format("people of a video (.npz of extract_poses.py)", (".npz",), _looks_like, _read)
