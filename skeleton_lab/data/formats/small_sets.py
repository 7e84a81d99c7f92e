"""Data sets of a few thousand single-person clips, one file each: what UTD-MHAD, MSR-Action3D and NW-UCLA share.

For each a module says how its files look and are named, which protocol is customary, and how a file is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.face import REMEDY, Format, Look, Wanted
from skeleton_lab.data.formats.occupied import between_bodies, occupied
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.skeletons import Skeleton

MAX_BYTES = 64 << 20
MAX_FRAMES = 20_000


@dataclass(frozen=True)
class SmallSet:
    """A data set.

    skeleton: V joints. centre: the joint that becomes the origin in a clip's first frame with a body. actions: the
    actions' numbers, in class order; class_names: what they are called. pattern: of a file name, with groups `action`
    and `part`. is_train: of the `part` number, whether its clips are for training. fps: frames a second. read: file ->
    (T, V, C) float64.
    """

    name: str
    skeleton: Skeleton
    centre: int
    actions: tuple[int, ...]
    class_names: tuple[str, ...]
    pattern: re.Pattern[str]
    is_train: Callable[[int], bool]
    fps: float
    read: Callable[[Look], np.ndarray]

    def label_of(self, path: Path) -> int | None:
        """Return the class that a file's name tells, from 0, or None: a name of one's own says nothing."""
        match = self.pattern.fullmatch(path.name)
        action = int(match["action"]) if match else 0
        return self.actions.index(action) if action in self.actions else None


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


def centred(frames: np.ndarray, centre: int | None, name: str) -> np.ndarray:
    """Return frames (T, V, C) from the first with a body to the last, as float32; empty ones in between stay empty.

    They are moved so that the joint `centre` begins at the origin; None: not moved.

    Raises:
        NothingToSee: there is nobody in them; `name` is theirs.
    """
    clip = between_bodies(frames)
    if not len(clip):
        raise NothingToSee(f"{name}: no frame holds a body; leave it out")
    if centre is None:
        return clip.astype(np.float32)
    return np.where(occupied(clip)[:, None, None], clip - clip[0, centre], 0).astype(np.float32)


def read_joints(data_set: SmallSet, look: Look) -> np.ndarray:
    """Read one file of a set as it was recorded: (T, V, C) float64 in metres.

    Raises:
        UserError: the file is damaged.
    """
    path = look.path
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); {REMEDY}") from error
    if size > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; {REMEDY}")
    clip = data_set.read(look)
    expected = (data_set.skeleton.num_joints, 3)
    if clip.ndim != 3 or clip.shape[1:] != expected or not 0 < len(clip) <= MAX_FRAMES:
        raise UserError(f"{path}: has shape {clip.shape}; expected frames x {expected[0]} joints x {expected[1]}; "
                        f"{REMEDY}")
    if not np.isfinite(clip).all():
        raise UserError(f"{path}: a coordinate is not finite; {REMEDY}")
    return clip


def small_set_format(name: str, data_set: SmallSet, looks_like: Callable[[Look], bool]) -> Format:
    """Return the format of a set's files."""
    def read(look: Look, wanted: Wanted) -> list[Recording]:
        joints = read_joints(data_set, look)[:, None]  # (T, M=1, V, C)
        return [Recording(str(look.path), joints, data_set.skeleton, label=data_set.label_of(look.path),
                          fps=data_set.fps, class_names=data_set.class_names, centre=data_set.centre)]

    suffix = Path(data_set.pattern.pattern.replace("\\", "")).suffix
    return Format(name, (suffix,), looks_like, read)


def odd(number: int) -> bool:
    """Whether a subject's number is odd: theirs are the clips to train on, by a customary protocol."""
    return number % 2 == 1
