"""Clips of any skeleton, persons and frames as many as each has: what dataset_tools/convert_pyskl.py writes.

An uncompressed `.npz`, so that training maps it:

- `keypoint` (R, V, C) float16 or float32: rows, each one person in one frame; a person's frames lie together, a
  clip's persons one behind the other; `keypoint_score` (R, V), if there is one; `present` (R,) bool: not all zeros;
- `clips` (N, 6) int64: first row, M, T, class (-1: not known), height and width of the picture (0: not known);
- `names` (N,) strings; `split_<name>` (n,) int64: places of clips, in the file's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.about import About, read_about, write_about
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.recording import Recording, Recordings
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import PYSKL_LAYOUTS
from skeleton_lab.skeletons import NTU_25

COLUMNS = ("first row", "persons", "frames", "class", "height", "width")
SPLIT = "split_"
_REMEDY = "make it again with dataset_tools/convert_pyskl.py"
ALL = "all"


@dataclass(frozen=True, eq=False)
class PoseClip:
    """One clip: keypoint (M, T, V, C) and score (M, T, V) or None, float16 or wider; size: height and width of the
    picture, (0, 0): not known; label -1: not known.
    """

    keypoint: np.ndarray
    score: np.ndarray | None
    size: tuple[int, int] = (0, 0)
    label: int = -1

    @property
    def kind(self) -> tuple[int, int, bool]:
        """What all clips of a file have in common: joints, coordinates, whether there are scores."""
        return *self.keypoint.shape[2:], self.score is not None


@dataclass(frozen=True)
class PoseClips:
    """One split, mapped. rows (R, V, C), scores (R, V) or None and present (R,): of the whole file. clips: (N, 6), see
    above. names: of the clips.
    """

    path: Path
    split: str | None
    rows: np.ndarray
    scores: np.ndarray | None
    present: np.ndarray
    clips: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.clips)

    def __reduce__(self):  # another process maps the file itself
        return open_pose_clips, (self.path, self.split)

    def frames(self, index: int) -> np.ndarray:
        """Return a clip's keypoints (M, T, V, C), as they are in the file."""
        return self._of(self.rows, index)

    def scores_of(self, index: int) -> np.ndarray | None:
        """Return a clip's scores (M, T, V)."""
        return None if self.scores is None else self._of(self.scores, index)

    def _of(self, array: np.ndarray, index: int) -> np.ndarray:
        first, persons, frames = self.clips[index, :3]
        return array[first:first + persons * frames].reshape(persons, frames, *array.shape[1:])


def is_pose_clips(headers: object) -> bool:
    """Whether the arrays of a file, by key, are those of such clips."""
    return isinstance(headers, dict) and {"keypoint", "present", "clips"} <= headers.keys()


def splits_of(path: str | Path) -> list[str]:
    """Return the names of the splits."""
    return [key.removeprefix(SPLIT) for key in archive.list_arrays(path) if key.startswith(SPLIT)]


def open_pose_clips(path: str | Path, split: str | None) -> PoseClips:
    """Open the clips of a split; None: all.

    Raises:
        UserError: no such file or split, or it is damaged.
    """
    path = Path(path)
    headers = archive.list_arrays(path)
    if not is_pose_clips(headers):
        raise UserError(f"{path}: holds no clips of poses (keypoint, present, clips), only {', '.join(headers)[:200]}; "
                        "make them with dataset_tools/convert_pyskl.py")
    rows, present, clips = (headers[key] for key in ("keypoint", "present", "clips"))
    score = headers.get("keypoint_score")
    if (len(rows.shape) != 3 or rows.dtype.kind != "f" or rows.shape[2] not in (2, 3) or present.shape != rows.shape[:1]
            or present.dtype != bool or len(clips.shape) != 2 or clips.shape[1] != len(COLUMNS)
            or clips.dtype != np.int64 or (score is not None and score.shape != rows.shape[:2])):
        raise UserError(f"{path}: keypoint {rows.shape}, present {present.shape} and clips {clips.shape} do not belong "
                        f"together; {_REMEDY}")
    table = archive.read_whole(path, "clips")
    sizes = table[:, 1] * table[:, 2]
    if (table[:, :3] < 0).any() or (table[:, 1:3] < 1).any() or (table[:, 0] + sizes > rows.shape[0]).any():
        raise UserError(f"{path}: 'clips' points outside the {rows.shape[0]} rows of 'keypoint'; {_REMEDY}")
    names = [str(name) for name in archive.read_whole(path, "names")] if "names" in headers else \
        [str(number) for number in range(len(table))]
    chosen = _places(path, split, len(table), headers)
    return PoseClips(path, split, archive.map_array(path, "keypoint"),
                     archive.map_array(path, "keypoint_score") if score is not None else None,
                     archive.read_whole(path, "present"), table[chosen], [names[place] for place in chosen])


def _places(path: Path, split: str | None, count: int, headers: dict) -> np.ndarray:
    if split is None:
        return np.arange(count)
    if SPLIT + split not in headers:
        known = ", ".join(key.removeprefix(SPLIT) for key in headers if key.startswith(SPLIT)) or "none"
        raise UserError(f"{path}: has no split '{split}'; it has: {known}")
    places = archive.read_whole(path, SPLIT + split)
    if places.ndim != 1 or places.dtype != np.int64 or not len(places) or not ((places >= 0) & (places < count)).all():
        raise UserError(f"{path}: split '{split}' does not name clips; {_REMEDY}")
    return places


def write_pose_clips(path: str | Path, clips: Sequence[PoseClip], names: Sequence[str] = (),
                     splits: Mapping[str, np.ndarray] | None = None, about: About | None = None) -> np.ndarray:
    """Write clips, each looked at and then written; return the table `clips`.

    Args:
        clips: a sequence that may make each when it is asked for. splits: places of the clips of each split. about:
            what is known besides.

    Raises:
        UserError: they differ in joints, coordinates or scores, or the file cannot be written.
    """
    table, dtype = _survey(path, clips)
    joints, coordinates, scored = clips[0].kind
    rows = int((table[:, 1] * table[:, 2]).sum())
    present = np.zeros(rows, bool)
    with archive.NpzWriter(path) as writer:
        with writer.member("keypoint", (rows, joints, coordinates), dtype) as sink:
            for place, clip in enumerate(clips):
                block = clip.keypoint.reshape(-1, joints, coordinates).astype(dtype)
                first = table[place, 0]
                present[first:first + len(block)] = (block != 0).any(axis=(1, 2))
                sink.append(block)
        if scored:
            with writer.member("keypoint_score", (rows, joints), dtype) as sink:
                for clip in clips:
                    assert clip.score is not None
                    sink.append(clip.score.reshape(-1, joints).astype(dtype))
        for key, array in (("present", present), ("clips", table), ("names", np.array([str(name) for name in names]))):
            if len(array):
                writer.write(key, array)
        for name, places in (splits or {}).items():
            writer.write(SPLIT + name, places)
        write_about(writer, about or About())
    return table


def _survey(path: str | Path, clips: Sequence[PoseClip]) -> tuple[np.ndarray, np.dtype]:
    """Look at every clip: return the table and the dtype that holds them all."""
    table = np.zeros((len(clips), len(COLUMNS)), np.int64)
    dtype: np.dtype = np.dtype(np.float16)
    row, kind = 0, clips[0].kind
    for place, clip in enumerate(clips):
        if clip.kind != kind:
            raise UserError(f"{path}: not written: clip {place} has (joints, coordinates, scores) {clip.kind}, clip 0 "
                            f"{kind}; convert them apart")
        table[place] = row, *clip.keypoint.shape[:2], clip.label, *clip.size
        row += clip.keypoint.shape[0] * clip.keypoint.shape[1]
        if any(array is not None and array.dtype != np.float16 for array in (clip.keypoint, clip.score)):
            dtype = np.dtype(np.float32)
    return table, dtype


def _looks_like(look: Look) -> bool:
    return is_pose_clips(look.arrays)


def _read(look: Look, wanted: Wanted) -> Recordings:
    path = look.path
    splits = splits_of(path)
    split = wanted.split if wanted.split in splits else None
    if wanted.split is not None and split is None and wanted.split != ALL:
        split = next((name for name in splits if name.endswith({"test": "val"}.get(wanted.split, wanted.split))), None)
        if split is None and splits:
            raise UserError(f"{path}: has no split '{wanted.split}'; it has: {', '.join(splits)}")
    opened = open_pose_clips(path, split)
    joints, channels = opened.rows.shape[1:]
    about = read_about(path, wanted.usual, wanted.skeleton)
    flat = joints != NTU_25.num_joints
    own = {skeleton.num_joints: skeleton for skeleton in PYSKL_LAYOUTS.values()} | {NTU_25.num_joints: NTU_25}
    skeleton = wanted.skeleton or about.skeleton or own.get(joints)
    places = wanted.places(path, len(opened))

    def make(number: int) -> Recording:
        index = places[number]
        frames = opened.frames(index).transpose(1, 0, 2, 3).astype(np.float32)  # (M, T, V, C) -> (T, M, V, C)
        scores = opened.scores_of(index)
        confidence = None if scores is None else scores.transpose(1, 0, 2).astype(np.float32)
        if flat and channels == 3:
            frames, confidence = frames[..., :2], frames[..., 2]
        label, height, width = (int(value) for value in opened.clips[index, 3:])
        return Recording(f"{path}:{index} {opened.names[index]}", frames, skeleton, confidence,
                         label=label if label >= 0 else None, class_names=about.class_names, y_down=flat,
                         image_size=(width, height) if height else None)

    return Recordings(len(places), make)


FORMAT = Format("clips of poses (.npz of convert_pyskl.py)", (".npz",), _looks_like, _read)
