"""Data sets of a few thousand single-person clips, one file each: UTD-MHAD, MSR-Action3D, NW-UCLA.

For each: how its files are named, which protocol is customary, and how a file becomes a clip (T, V, C) in metres.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.msg3d_clips import load_json
from skeleton_lab.data.formats.numbers_in_text import is_number
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import MSR_ACTION3D_20, UTD_MHAD_20
from skeleton_lab.skeletons import UCLA_20, Skeleton

MAX_BYTES = 64 << 20
MAX_FRAMES = 20_000
UCLA_ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)  # the others were not released
_REMEDY = "download it again or leave it out"


@dataclass(frozen=True)
class SmallSet:
    """A data set.

    skeleton: V joints. centre: the joint that becomes the origin in a clip's first frame. actions: the actions'
    numbers, in class order. pattern: of a file name, with groups `action` and `part`. is_train: of the `part` number,
    whether its clips are for training. read: file -> (T, V, C) float64.
    """

    name: str
    skeleton: Skeleton
    centre: int
    actions: tuple[int, ...]
    pattern: re.Pattern[str]
    is_train: Callable[[int], bool]
    read: Callable[[Path], np.ndarray]


@dataclass(frozen=True)
class Source:
    """One file of a set: its class (from 0), and whether it is for training."""

    path: Path
    label: int
    is_train: bool


def find_sources(data_set: SmallSet, folder: Path) -> tuple[list[Source], list[Path]]:
    """Return a set's files in `folder`, sorted by name, and those of the same suffix that are named otherwise.

    Raises:
        UserError: the folder cannot be read, or holds no file of the set.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot list it ({error.strerror}); give the folder of {data_set.name}'s "
                        "files") from error
    sources, strangers = [], []
    suffix = Path(data_set.pattern.pattern.replace("\\", "")).suffix
    for path in paths:
        match = data_set.pattern.fullmatch(path.name)
        if match and int(match["action"]) in data_set.actions:
            sources.append(Source(path, data_set.actions.index(int(match["action"])),
                                  data_set.is_train(int(match["part"]))))
        elif path.suffix == suffix:
            strangers.append(path)
    if not sources:
        raise UserError(f"{folder}: holds no file named like {data_set.name}'s; give the folder that its download "
                        "unpacks to")
    return sources, strangers


def read_clip(data_set: SmallSet, path: Path) -> np.ndarray:
    """Read one file of a set: (T, V, C) float32, moved so that the centre joint begins at the origin.

    Raises:
        UserError: the file is damaged.
    """
    return centred(data_set, read_joints(data_set, path))


def centred(data_set: SmallSet, clip: np.ndarray) -> np.ndarray:
    """Return (T, V, C) as float32, moved so that the centre joint begins at the origin."""
    return (clip - clip[0, data_set.centre]).astype(np.float32)


def read_joints(data_set: SmallSet, path: Path) -> np.ndarray:
    """Read one file of a set as it was recorded: (T, V, C) float64 in metres.

    Raises:
        UserError: the file is damaged.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); {_REMEDY}") from error
    if size > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; {_REMEDY}")
    clip = data_set.read(path)
    expected = (data_set.skeleton.num_joints, 3)
    if clip.ndim != 3 or clip.shape[1:] != expected or not 0 < len(clip) <= MAX_FRAMES:
        raise UserError(f"{path}: has shape {clip.shape}; expected frames x {expected[0]} joints x {expected[1]}; "
                        f"{_REMEDY}")
    if not np.isfinite(clip).all():
        raise UserError(f"{path}: a coordinate is not finite; {_REMEDY}")
    return clip


def _read_utd_mhad(path: Path) -> np.ndarray:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise UserError("scipy: is needed to read .mat files; pip install scipy") from error
    try:
        content = loadmat(path, variable_names=["d_skel"])
    except Exception as error:  # scipy raises whatever it stumbles over
        raise UserError(f"{path}: is no readable .mat file ({type(error).__name__}); {_REMEDY}") from error
    joints = content.get("d_skel")
    if joints is None or joints.ndim != 3 or joints.dtype.kind != "f":
        raise UserError(f"{path}: holds no array d_skel of (joints, coordinates, frames); {_REMEDY}")
    return joints.transpose(2, 0, 1)  # (V, C, T) -> (T, V, C)


def _read_msr_action3d(path: Path) -> np.ndarray:
    """Read lines of `x y z confidence`, 20 joints for each frame."""
    lines = path.read_bytes().splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) != 4 or not all(map(is_number, words)):
            raise UserError(f"{path}:{number}: four numbers expected (x y z confidence); {_REMEDY}")
        rows.append([float(word) for word in words[:3]])
    num_joints = MSR_ACTION3D_20.num_joints
    if len(rows) % num_joints:
        raise UserError(f"{path}:{len(rows)}: the file ends inside a frame of {num_joints} lines; {_REMEDY}")
    return np.array(rows).reshape(-1, num_joints, 3)


def _read_nw_ucla(path: Path) -> np.ndarray:
    recording = load_json(path)
    match = NW_UCLA.pattern.fullmatch(path.name)
    action = int(match["action"]) if match else 0  # a name of one's own says nothing
    try:
        joints = np.array(recording["skeletons"], np.float64)
        label = recording["label"] if action in UCLA_ACTIONS else None
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no 'skeletons' of frames x joints x 3 and 'label' in it ({error!r:.60}); "
                        f"{_REMEDY}") from error
    if action in UCLA_ACTIONS and label != UCLA_ACTIONS.index(action) + 1:
        raise UserError(f"{path}: its label is {label!r:.20}, but action {action} is class "
                        f"{UCLA_ACTIONS.index(action) + 1}; {_REMEDY}")
    return joints


def _odd(number: int) -> bool:
    return number % 2 == 1


UTD_MHAD = SmallSet(
    name="UTD-MHAD", skeleton=UTD_MHAD_20, centre=2, actions=tuple(range(1, 28)),
    pattern=re.compile(r"a(?P<action>\d+)_s(?P<part>\d+)_t\d+_skeleton\.mat", re.ASCII), is_train=_odd,
    read=_read_utd_mhad)
MSR_ACTION3D = SmallSet(
    name="MSR-Action3D", skeleton=MSR_ACTION3D_20, centre=3, actions=tuple(range(1, 21)),
    pattern=re.compile(r"a(?P<action>\d+)_s(?P<part>\d+)_e\d+_skeleton3D\.txt", re.ASCII), is_train=_odd,
    read=_read_msr_action3d)
NW_UCLA = SmallSet(
    name="NW-UCLA", skeleton=UCLA_20, centre=1, actions=UCLA_ACTIONS,
    pattern=re.compile(r"a(?P<action>\d\d)_s\d\d_e\d\d_v(?P<part>\d\d)\.json", re.ASCII),
    is_train=lambda view: view in (1, 2), read=_read_nw_ucla)
