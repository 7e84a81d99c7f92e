"""A folder of folders, one class each, of recordings of any format: clips with classes, and which of them test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats.face import Look, Wanted
from skeleton_lab.data.formats.fitting import fitted
from skeleton_lab.data.formats.occupied import first_and_stop, occupied
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.data.formats.registry import KINDS, SUFFIXES, format_of, open_recordings
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import COCO_17, HAND_21, NTU_25, Skeleton

_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
_IN_PICTURES = (Unit.PIXELS, Unit.SHARES)


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip: its class (from 0), a name such as "wave/clip3", and people fitted to the target's joints, from the first
    frame with somebody to the last.
    """

    name: str
    label: int
    recording: Recording


@dataclass(frozen=True)
class Clips:
    """All clips. class_names: of the folders. source: what the joints were. skipped: why files were left out."""

    clips: list[Clip]
    class_names: tuple[str, ...]
    target: Skeleton
    source: str
    skipped: list[str]


def class_folders(folder: Path) -> list[Path]:
    """Return the folders in `folder`, sorted by name.

    Raises:
        UserError: there is none.
    """
    try:
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot list it ({error.strerror}); give a folder that holds one for each class") \
            from error
    if not folders:
        raise UserError(f"{folder}: holds no folders; it should hold one for each class, with the pose files in it")
    return folders


def clip_paths(folder: Path) -> list[Path]:
    """Return the recordings in a class's folder and below, sorted; a folder may itself be one.

    Raises:
        UserError: there is none.
    """
    found = list(_walk(folder))
    if not found:
        videos = any(path.suffix.lower() in _VIDEOS for path in folder.rglob("*"))
        remedy = f"find the people in its videos first: extract_poses.py --video {folder}" if videos else \
            f"known are {KINDS}"
        raise UserError(f"{folder}: holds no pose file; {remedy}")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    if format_of(Look(folder)) is not None:
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.suffix in SUFFIXES:
            yield path


def read_clips(folder: Path, wanted: Wanted, target: Skeleton | None, skip_damaged: bool = False) -> Clips:
    """Read all clips of a folder of folders, fitted to `target`; None: as the first one is best fitted.

    Raises:
        UserError: no clips; a file is damaged, nobody is in it, or its joints do not lead to the target's, unless
            `skip_damaged`.
    """
    folders = class_folders(folder)
    paths = [(label, path) for label, part in enumerate(folders) for path in clip_paths(part)]
    clips: list[Clip] = []
    skipped: list[str] = []
    sources: dict[str, None] = {}
    for label, path in tqdm(paths, unit="file", disable=None, leave=False):
        try:
            recordings = open_recordings(path, wanted)
            for place in range(len(recordings)):
                recording = recordings[place]
                target = target or usual_target(recording)
                sources[recording.known_skeleton().name] = None
                made = _trimmed(_small(fitted(recording, target)))
                clips.append(Clip(_name(folder, path, place, len(recordings)), label, made))
        except UserError as error:
            if not skip_damaged:
                raise
            skipped.append(str(error))
    if not clips or target is None:
        raise UserError(f"{folder}: no file is usable; the first: {skipped[0]}")
    names = tuple(part.name for part in folders)
    empty = [name for label, name in enumerate(names) if not any(clip.label == label for clip in clips)]
    if empty:
        raise UserError(f"{folder}: no clip of class {empty[0]} is usable; add some, or leave the class out")
    return Clips(clips, names, target, ", ".join(sources), skipped)


def usual_target(recording: Recording) -> Skeleton:
    """Return NTU RGB+D's joints for people in space, COCO's for those in pictures; a hand stays one."""
    if recording.known_skeleton().num_joints == HAND_21.num_joints:
        return HAND_21
    return COCO_17 if recording.frames.shape[3] == 2 or recording.unit in _IN_PICTURES else NTU_25


def _name(folder: Path, path: Path, place: int, count: int) -> str:
    relative = path.relative_to(folder)
    name = (relative if path.is_dir() else relative.with_suffix("")).as_posix()
    return name if count == 1 else f"{name}#{place}"


def _small(recording: Recording) -> Recording:
    """Return it in single precision: all are held until they are written."""
    confidence = recording.confidence
    return replace(recording, held=recording.frames.astype(np.float32),
                   confidence=None if confidence is None else confidence.astype(np.float32))


def _trimmed(recording: Recording) -> Recording:
    first, stop = first_and_stop(occupied(recording.frames)[None])
    return recording.between(int(first[0]), int(stop[0]))


def split_by_share(labels: Sequence[int], share: float, seed: int) -> np.ndarray:
    """Return (N,) bool: which clips test, drawn from each class; of two clips or more at least one, and not all."""
    rng = np.random.default_rng(seed)
    classes = np.asarray(labels)
    tests = np.zeros(len(classes), bool)
    for label in np.unique(classes):
        places = rng.permutation(np.flatnonzero(classes == label))
        count = min(max(1, round(share * len(places))), len(places) - 1) if share > 0 else 0
        tests[places[:count]] = True
    return tests


def split_by_list(names: Sequence[str], path: Path) -> np.ndarray:
    """Return (N,) bool: which clips test, by a text with a name a line: class/file, with or without its suffix.

    Raises:
        UserError: it cannot be read, a line names no clip, or all clips test, or none.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); check --test-list") from error
    tests = np.zeros(len(names), bool)
    for number, line in enumerate(lines, 1):
        word = line.strip().removeprefix("./")
        if not word:
            continue
        found = _named(names, word) or _named(names, Path(word).with_suffix("").as_posix())
        if not found:
            raise UserError(f"{path}:{number}: '{word[:80]}' is no clip; write class/file, such as {names[0]}")
        tests[found] = True
    if tests.all() or not tests.any():
        raise UserError(f"{path}: names {'all' if tests.any() else 'no'} clips for testing; name some of them")
    return tests


def _named(names: Sequence[str], word: str) -> list[int]:
    """Return the places of the clip, or of all clips of the file, that `word` names."""
    return [place for place, name in enumerate(names) if word in (name, name.partition("#")[0])]
