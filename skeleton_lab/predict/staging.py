"""What a run's feeder reads, and how recordings are laid before it: as a small data set in its own format.

So a recording takes every step that a test clip takes, the feeder's own included. Which format it is follows from the
options of the run's feeder: `data_path` ends in .npz (an archive), in .npy (MS-G3D's files), or the feeder takes
`names` of recordings in a folder `root` (NW-UCLA).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.labels import read_labels, write_labels
from skeleton_lab.data.formats.pose_clips import PoseClip, write_pose_clips
from skeleton_lab.errors import UserError
from skeleton_lab.imports import load_object
from skeleton_lab.predict.recordings import ClipFile, Take
from skeleton_lab.train.trained import Trained

TWIN_CLASSES = 120  # NTU RGB+D 120's published archives, and only those, let a single actor stand for the second too
_FROM_ARCHIVE = re.compile(r"(train|test)_\d+")  # how clips are named that came by way of an archive


class ClipStage(Protocol):
    """One format: from a recording to its clip, and from clips to a data set and the feeder's options for it."""

    def clip(self, take: Take) -> Any:
        """Return the clip of a recording; NothingToSee if nobody is in it, UserError if its kind does not fit."""

    def write(self, clips: Sequence[Any], folder: Path) -> dict[str, Any]:
        """Write clips, all as a data set, into `folder`; return the feeder's options."""


@dataclass(frozen=True)
class ArchiveStage:
    """An archive `x_test` (N, C, T, V, M), `y_test`; `given`: the run's own options of the feeder."""

    given: dict[str, Any]
    twin: bool

    def clip(self, take: Take) -> np.ndarray:
        return take.archive_clip(self.twin)

    def write(self, clips: Sequence[np.ndarray], folder: Path) -> dict[str, Any]:
        most = max(clip.shape[1] for clip in clips)
        padded = np.stack([np.pad(clip, ((0, 0), (0, most - clip.shape[1]), (0, 0), (0, 0))) for clip in clips])
        path = folder / "takes.npz"
        np.savez(path, x_test=padded, y_test=np.zeros(len(clips), np.int64))
        return {**self.given, "data_path": str(path), "split": "test"}


@dataclass(frozen=True)
class FileStage:
    """MS-G3D's `.npy` and `.pkl`."""

    given: dict[str, Any]
    rules: ClipFile

    def clip(self, take: Take) -> np.ndarray:
        return take.file_clip(self.rules)

    def write(self, clips: Sequence[np.ndarray], folder: Path) -> dict[str, Any]:
        data, labels = folder / "takes_data.npy", folder / "takes_label.pkl"
        np.save(data, np.stack(clips))
        write_labels(labels, [str(number) for number in range(len(clips))], [0] * len(clips))
        return {**self.given, "data_path": str(data), "label_path": str(labels)}


@dataclass(frozen=True)
class FolderStage:
    """JSON recordings in a folder."""

    given: dict[str, Any]

    def clip(self, take: Take) -> np.ndarray:
        return take.raw_frames()

    def write(self, clips: Sequence[np.ndarray], folder: Path) -> dict[str, Any]:
        names = [f"take{number}" for number in range(len(clips))]
        for name, clip in zip(names, clips, strict=True):
            (folder / f"{name}.json").write_text(json.dumps({"skeletons": clip.tolist()}))
        return {**self.given, "root": str(folder), "names": names}


@dataclass(frozen=True)
class PoseStage:
    """Clips of poses, persons and frames as many as each has (`pose_clips`)."""

    given: dict[str, Any]

    def clip(self, take: Take) -> PoseClip:
        return take.pose_clip()

    def write(self, clips: Sequence[PoseClip], folder: Path) -> dict[str, Any]:
        path = folder / "takes.npz"
        write_pose_clips(path, clips)
        return {**self.given, "data_path": str(path), "split": None}


@dataclass(frozen=True)
class StageOptions:
    """What the command line says of the preparation; None: as the run's own data tell, or as is usual.

    twin: see `ArchiveStage`. resized, from_archive: see `ClipFile`; 0 frames: not resized.
    """

    twin: bool | None = None
    resized: int | None = None
    from_archive: bool | None = None


def stage_for(trained: Trained, options: StageOptions) -> ClipStage:
    """Return the format that the run's feeder reads.

    Raises:
        UserError: its options tell none, or normalise by the statistics of a whole file.
    """
    config = trained.config
    given = {key: value for key, value in config.test_feeder_args.items() if key != "debug"}
    if given.get("normalization"):
        raise UserError("test_feeder_args: normalization=True takes the mean of a whole data set, which single "
                        "recordings have not; predict with a model trained without it")
    data_path = str(given.get("data_path", ""))
    if "num_clips" in inspect.signature(load_object(config.feeder)).parameters:
        _refuse("clips of poses", resized=options.resized, from_archive=options.from_archive, twin=options.twin)
        return PoseStage(given)
    if "names" in inspect.signature(load_object(config.feeder)).parameters:
        _refuse("one body's plain frames", resized=options.resized, from_archive=options.from_archive,
                twin=options.twin)
        return FolderStage(given)
    if data_path.endswith(".npz"):
        _refuse("clips of an archive", resized=options.resized, from_archive=options.from_archive)
        twin = trained.num_classes == TWIN_CLASSES if options.twin is None else options.twin
        return ArchiveStage(given, twin)
    if data_path.endswith(".npy"):
        _refuse("clips of .npy files", twin=options.twin)
        return FileStage(given, _clip_file(trained, given, options))
    raise UserError(f"test_feeder_args: data_path '{data_path}' is neither an archive (.npz) nor clips (.npy), and "
                    f"'{config.feeder}' takes no option 'names'; recordings cannot be laid before this feeder")


def _refuse(what: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None:
            flag = {"resized": "frames"}.get(name, name).replace("_", "-")
            raise UserError(f"--{flag}: this run was trained on {what}, where it means nothing; leave it out")


def _clip_file(trained: Trained, given: dict[str, Any], options: StageOptions) -> ClipFile:
    """Say how the run's own clips came about, from its files where they are still there."""
    data, labels = (trained.spec.root / str(given.get(key, "")) for key in ("data_path", "label_path"))
    usual = ClipFile()
    padded = archive.find_array(data, "").shape[2] if data.is_file() else usual.padded
    from_archive = options.from_archive
    if from_archive is None:
        names = read_labels(labels)[0][:1] if labels.is_file() else []
        from_archive = bool(options.resized) or bool(names and _FROM_ARCHIVE.fullmatch(names[0]))
    if options.resized and not from_archive:
        raise UserError("--frames: clips are resized on their way from an archive only; leave --from-archive out, or "
                        "set it to true")
    if from_archive and padded != usual.padded and options.resized is None:
        raise UserError(f"{data}: holds clips of {padded} frames; if convert_ctr_npz_to_msg3d.py resized them, give "
                        f"--frames {padded}; if its archive has as many, --frames 0")
    return ClipFile(from_archive, options.resized or None, padded, bones="_bone" in data.name)


def alike(clips: Sequence[Any], stage: ClipStage) -> list[list[int]]:
    """Return the places of clips that one data set of `stage` can hold together."""
    def shape(place: int) -> tuple[Any, ...]:
        if isinstance(stage, PoseStage):
            return clips[place].kind
        return clips[place].shape if isinstance(stage, FileStage) else clips[place].shape[2:]  # others pad over T

    return [list(group) for _, group in groupby(sorted(range(len(clips)), key=shape), key=shape)]
