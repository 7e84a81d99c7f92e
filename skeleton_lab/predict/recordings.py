"""Recordings to predict, from any file the lab knows, and the clips that each tree's pipeline makes of them.

A recording can become a clip of an archive (what CTR-GCN's preparation makes), a clip of an `.npy` file (MS-G3D's) or
plain frames (NW-UCLA's JSON), by the very functions that make training data; or it says that its kind cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skeleton_lab.data.feeders.spans import open_clips
from skeleton_lab.data.feeders.transforms import resize_valid
from skeleton_lab.data.formats import archive, layouts, small_sets
from skeleton_lab.data.formats.any_clip import AnyClip, bodies_by_id
from skeleton_lab.data.formats.class_indices import read_archive_labels
from skeleton_lab.data.formats.labels import read_labels
from skeleton_lab.data.formats.msg3d_clips import MAX_FRAMES, clip_of_recording, load_json, read_kinetics_clip
from skeleton_lab.data.formats.ntu import parse_name
from skeleton_lab.data.formats.skeleton_file import MAX_BYTES, Recording, read_recording
from skeleton_lab.data.prepare.bones import joints_to_bones
from skeleton_lab.data.prepare.ctrgcn_archives import fill_row
from skeleton_lab.data.prepare.ctrgcn_pipeline import actors_of, scene_of
from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18, Skeleton, skeleton_with

KINDS = ".skeleton, .npz (Kaggle, converted, packed), .json (NW-UCLA, Kinetics), .mat, .txt, .npy (MS-G3D)"
SUFFIXES = (".skeleton", ".npz", ".json", ".mat", ".txt", ".npy")
MAX_STREAM_BYTES = 256 << 20  # of a .skeleton file that is cut into windows
NTU_VALUES = layouts.FRAME_VALUES


@dataclass(frozen=True)
class ClipFile:
    """How the clips of an `.npy` file came about.

    from_archive: by way of an NTU archive (convert_ctr_npz_to_msg3d.py), not from raw recordings (data_gen). resized:
    valid frames were resized to so many. padded: otherwise clips are as long as this, where the recording does not
    say. bones: joints were turned into bones.
    """

    from_archive: bool = False
    resized: int | None = None
    padded: int = MAX_FRAMES
    bones: bool = False


@dataclass(frozen=True, eq=False)
class Take:
    """One recording, or a span of one.

    name: what to call it. label: its class, from 0, if its file tells. start: its first frame in the whole recording.
    """

    name: str
    label: int | None
    start: int = 0

    @property
    def num_frames(self) -> int:
        """Frames from the first to the last that is not empty."""
        raise NotImplementedError

    @property
    def skeleton(self) -> Skeleton:
        """The joints."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """Its name without folders."""
        return Path(self.name).name

    def cut(self, start: int, stop: int) -> Take:
        """Return frames `start` to `stop` - 1 as a recording of its own."""
        raise self._cannot("be cut into windows")

    def archive_clip(self, twin: bool) -> np.ndarray:
        """Return (C, T, V, M) float32 as an archive holds it; `twin`: a single actor stands for the second body too.

        Raises:
            NothingToSee: there is nobody in it.
            UserError: no archive is made of such recordings.
        """
        raise self._cannot("become a clip of an archive (.npz)")

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        """Return (C, T, V, M) float32 as MS-G3D's files hold it; raises as `archive_clip`."""
        raise self._cannot("become a clip of MS-G3D's files (.npy)")

    def raw_frames(self) -> np.ndarray:
        """Return (T, V, C) float64 as recorded, of one body; raises as `archive_clip`."""
        raise self._cannot("be taken as one body's plain frames, which this run was trained on")

    def picture(self) -> AnyClip:
        """Return it as something to draw."""
        raise NotImplementedError

    def _cannot(self, what: str) -> UserError:
        return UserError(f"{self.name}: a recording of this kind cannot {what}; see docs/predict.md for what can")


def _finished(clip: np.ndarray, rules: ClipFile, skeleton: Skeleton) -> np.ndarray:
    """Return a clip of joints (C, T, V, M) as `rules` want it."""
    if rules.bones:
        clip = joints_to_bones(clip[None], skeleton).astype(np.float32, copy=False)[0]
    return clip


def _repeated(clip: np.ndarray, length: int) -> np.ndarray:
    """Return (T, V, C) as (C, length, V, 1), its frames repeated to the end, as `clip_archive` writes them."""
    return clip[np.arange(length) % len(clip)].transpose(2, 0, 1)[..., None]


@dataclass(frozen=True, eq=False)
class Raw(Take):
    """A `.skeleton` recording."""

    recording: Recording = None  # type: ignore[assignment]

    @property
    def num_frames(self) -> int:
        return self.recording.num_frames

    @property
    def skeleton(self) -> Skeleton:
        return NTU_25

    def cut(self, start: int, stop: int) -> Raw:
        whole = self.recording
        seen = (whole.frames >= start) & (whole.frames < stop)
        part = Recording(stop - start, whole.frames[seen] - start, whole.slots[seen],
                         tuple(np.array(whole.body_ids, object)[seen]), whole.joints[seen], whole.tracking[seen])
        return replace(self, recording=part, start=self.start + start)

    def archive_clip(self, twin: bool) -> np.ndarray:
        actors = actors_of(scene_of(self.recording, self.name), self.name)
        row = np.zeros((1, len(actors), NTU_VALUES), np.float32)
        fill_row(row[0], actors, twin)
        return layouts.as_converted(row, layouts.KAGGLE)[0]

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        if rules.from_archive:
            return _from_ntu_archive(self.archive_clip(twin=False), rules)
        frames = clip_of_recording(self.recording, self.name)  # (3, F, V, M)
        clip = np.zeros((1, 3, MAX_FRAMES, *frames.shape[2:]), np.float32)
        clip[0, :, :frames.shape[1]] = frames
        return _finished(pre_normalize(clip)[0], rules, NTU_25)

    def picture(self) -> AnyClip:
        return AnyClip(bodies_by_id(self.recording), NTU_25, self.title)


def _from_ntu_archive(clip: np.ndarray, rules: ClipFile) -> np.ndarray:
    """Return a clip (C, T, 25, 2) of an archive as convert_ctr_npz_to_msg3d.py writes it."""
    frames = clip.transpose(1, 3, 2, 0)[None]  # (1, T, M, V, C)
    if rules.resized:
        frames = resize_valid(frames, rules.resized)
    elif frames.shape[1] < rules.padded:
        frames = np.pad(frames, ((0, 0), (0, rules.padded - frames.shape[1]), *((0, 0),) * 3))
    clips = np.ascontiguousarray(frames.transpose(0, 4, 1, 3, 2), np.float32)  # -> (1, C, T, V, M)
    return _finished(pre_normalize(clips)[0], rules, NTU_25)


@dataclass(frozen=True, eq=False)
class Archived(Take):
    """A clip of an archive: frames (T, M, V, C) float32, zeros behind the last one; `joints`: of what skeleton.

    length: of a window, whatever is in it.
    """

    frames: np.ndarray = None  # type: ignore[assignment]
    joints: Skeleton = NTU_25
    length: int | None = None

    @property
    def num_frames(self) -> int:
        if self.length is not None:
            return self.length
        used = np.flatnonzero((self.frames != 0).any(axis=(1, 2, 3)))
        return int(used[-1]) + 1 if len(used) else 0

    @property
    def skeleton(self) -> Skeleton:
        return self.joints

    def cut(self, start: int, stop: int) -> Archived:
        part = np.zeros_like(self.frames)  # as long as before: it would be padded like the others
        part[:stop - start] = self.frames[start:stop]
        return replace(self, frames=part, start=self.start + start, length=stop - start)

    def archive_clip(self, twin: bool) -> np.ndarray:
        if not self.frames.any():
            raise NothingToSee(f"{self.name}: no frame holds a body; choose another clip")
        return np.ascontiguousarray(self.frames.transpose(3, 0, 2, 1), np.float32)  # (T, M, V, C) -> (C, T, V, M)

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        clip = self.archive_clip(twin=False)
        if self.frames.shape[1:3] == (layouts.NUM_BODIES, layouts.NUM_JOINTS):
            return _from_ntu_archive(clip, replace(rules, padded=clip.shape[1]))
        one_body = self.frames[:self.num_frames, 0]  # (T, V, C)
        return _finished(_repeated(one_body, rules.resized or rules.padded), rules, self.joints)

    def picture(self) -> AnyClip:
        return AnyClip(np.array(self.frames[:self.num_frames]), self.joints, self.title)


@dataclass(frozen=True, eq=False)
class OneBody(Take):
    """A recording of a small data set: joints (T, V, C) float64 as recorded."""

    joints: np.ndarray = None  # type: ignore[assignment]
    data_set: small_sets.SmallSet = small_sets.NW_UCLA

    @property
    def num_frames(self) -> int:
        return len(self.joints)

    @property
    def skeleton(self) -> Skeleton:
        return self.data_set.skeleton

    def cut(self, start: int, stop: int) -> OneBody:
        return replace(self, joints=self.joints[start:stop], start=self.start + start)

    def archive_clip(self, twin: bool) -> np.ndarray:
        return np.ascontiguousarray(small_sets.centred(self.data_set, self.joints).transpose(2, 0, 1)[..., None])

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        clip = _repeated(small_sets.centred(self.data_set, self.joints), rules.resized or rules.padded)
        return _finished(np.ascontiguousarray(clip), rules, self.skeleton)

    def raw_frames(self) -> np.ndarray:
        return self.joints

    def picture(self) -> AnyClip:
        return AnyClip(small_sets.centred(self.data_set, self.joints)[:, None], self.skeleton, self.title)


@dataclass(frozen=True, eq=False)
class Poses(Take):
    """A Kinetics recording: the two surest poses of each frame, (3, F, 18, 2) float32."""

    clip: np.ndarray = None  # type: ignore[assignment]

    @property
    def num_frames(self) -> int:
        return self.clip.shape[1]

    @property
    def skeleton(self) -> Skeleton:
        return OPENPOSE_18

    def cut(self, start: int, stop: int) -> Poses:
        return replace(self, clip=self.clip[:, start:stop], start=self.start + start)

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        if not self.clip.any():
            raise NothingToSee(f"{self.name}: no frame holds a pose; choose another recording")
        clip = np.zeros((3, MAX_FRAMES, *self.clip.shape[2:]), np.float32)
        clip[:, :self.num_frames] = self.clip
        return _finished(clip, rules, OPENPOSE_18)

    def picture(self) -> AnyClip:
        frames = np.array(self.clip.transpose(1, 3, 2, 0))  # (T, M, V, C)
        frames[..., 2] = 0  # a confidence, not a depth
        return AnyClip(frames, OPENPOSE_18, self.title)


@dataclass(frozen=True, eq=False)
class Finished(Take):
    """A clip of MS-G3D's files, (C, T, V, M), of joints or bones, as the run's own file holds them."""

    clip: np.ndarray = None  # type: ignore[assignment]

    @property
    def num_frames(self) -> int:
        return self.clip.shape[1]

    @property
    def skeleton(self) -> Skeleton:
        return skeleton_with(self.clip.shape[2])

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        return np.array(self.clip, np.float32)

    def picture(self) -> AnyClip:
        return AnyClip(np.array(self.clip.transpose(1, 3, 2, 0), np.float32), self.skeleton, self.title)


@dataclass(frozen=True)
class Choice:
    """What to open of a file: clips `indices` (None: all) of an archive's `split` or an `.npy` file; `skeleton`: in
    place of the one that the number of joints suggests; `long_streams`: allow .skeleton files of any length.
    """

    split: str = "test"
    indices: tuple[int, ...] | None = None
    skeleton: Skeleton | None = None
    long_streams: bool = False

    def of(self, path: Path, num_clips: int) -> Sequence[int]:
        """Return the chosen ones of `num_clips`; UserError if one of them is not there."""
        for index in self.indices or ():
            if not 0 <= index < num_clips:
                raise UserError(f"{path}: there is no clip {index}; it holds {num_clips}, numbered from 0")
        return range(num_clips) if self.indices is None else self.indices


def open_takes(path: Path, choice: Choice) -> list[Take]:
    """Open a recording, or the chosen clips of a file of many.

    Raises:
        UserError: there is no such file or clip, or it is damaged or of no known kind.
    """
    if path.suffix == ".npz":
        return _archived_clips(path, choice)
    if path.suffix == ".npy":
        return _finished_clips(path, choice)
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: is of no kind known here; known are {KINDS}")
    if path.suffix == ".skeleton":
        recording = read_recording(path, MAX_STREAM_BYTES if choice.long_streams else MAX_BYTES)
        return [Raw(str(path), _ntu_label(path), recording=recording)]
    content = load_json(path) if path.suffix == ".json" else None
    if isinstance(content, dict) and "data" in content:
        label = content.get("label_index")
        clip = read_kinetics_clip(str(path), label)  # type: ignore[arg-type]
        return [Poses(str(path), label if isinstance(label, int) else None, clip=clip)]
    data_set = {".json": small_sets.NW_UCLA, ".mat": small_sets.UTD_MHAD, ".txt": small_sets.MSR_ACTION3D}[path.suffix]
    match = data_set.pattern.fullmatch(path.name)
    known = match is not None and int(match["action"]) in data_set.actions
    label = data_set.actions.index(int(match["action"])) if match is not None and known else None
    return [OneBody(str(path), label, joints=small_sets.read_joints(data_set, path), data_set=data_set)]


def _ntu_label(path: Path) -> int | None:
    try:
        return parse_name(path.name).label
    except UserError:
        return None


def _archived_clips(path: Path, choice: Choice) -> list[Take]:
    """Open clips of an NTU archive in any layout, or of one in the converted layout with another skeleton."""
    split = choice.split
    header = archive.list_arrays(path).get(f"x_{split}")
    if header is not None and len(header.shape) == 5 and layouts.layout_of(header.shape) is None:
        skeleton = choice.skeleton or skeleton_with(header.shape[3])
        clips = archive.map_array(path, f"x_{split}")
        classes = read_archive_labels(path, f"y_{split}", len(clips))
        if clips.shape[1] != 3 or skeleton.num_joints != clips.shape[3] or classes.shape != (len(clips),):
            raise UserError(f"{path}: 'x_{split}' of shape {clips.shape} and 'y_{split}' of shape {classes.shape} are "
                            f"no clips (N, 3, T, V, M) of {skeleton.name} and their classes (N,)")
        return [Archived(f"{path}:{split} {index}", int(classes[index]), frames=clips[index].transpose(1, 3, 2, 0),
                         joints=skeleton) for index in choice.of(path, len(clips))]  # (C, T, V, M) -> (T, M, V, C)
    opened = open_clips(path, split)
    return [Archived(f"{path}:{split} {index}", int(opened.labels[index]), frames=opened.frames(index))
            for index in choice.of(path, opened.num_clips)]


def _finished_clips(path: Path, choice: Choice) -> list[Take]:
    clips = archive.map_array(path)
    if clips.ndim != 5 or clips.dtype.kind != "f":
        raise UserError(f"{path}: {clips.dtype} of shape {clips.shape}, not clips (N, C, T, V, M)")
    label_path = path.with_name(f"{path.name.split('_data_')[0]}_label.pkl")
    names, labels = read_labels(label_path) if label_path.exists() else ([], [])
    takes: list[Take] = []
    for index in choice.of(path, len(clips)):
        known = index < len(names)
        name = f"{path}:{index}" + (f" {Path(names[index]).stem}" if known else "")
        takes.append(Finished(name, labels[index] if known else None, clip=clips[index]))
    return takes
