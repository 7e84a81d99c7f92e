"""Recordings to predict, and the clips that each tree's pipeline makes of them.

A recording can become a clip of an archive (what CTR-GCN's preparation makes), a clip of an `.npy` file (MS-G3D's) or
plain frames (NW-UCLA's JSON), by the very functions that make training data; or it says that its kind cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skeleton_lab.data.feeders.transforms import resize_valid
from skeleton_lab.data.formats import layouts
from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.fitting import archive_clip, fit_joints
from skeleton_lab.data.formats.msg3d_clips import MAX_FRAMES, clip_of_recording
from skeleton_lab.data.formats.occupied import between_bodies, first_and_stop, occupied
from skeleton_lab.data.formats.pose_clips import PoseClip
from skeleton_lab.data.formats.recording import Made, Recording, is_ntu
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.data.formats.small_sets import centred
from skeleton_lab.data.prepare.bones import joints_to_bones
from skeleton_lab.data.prepare.ctrgcn_archives import fill_row
from skeleton_lab.data.prepare.ctrgcn_pipeline import actors_of, scene_of
from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.errors import NothingToSee, UserError, note
from skeleton_lab.own_skeletons import MEDIAPIPE_33
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeleton_names import same_joints
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18, Skeleton

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
    """One recording, or a span of one; how it becomes a clip depends on its kind.

    start: its first frame in the whole recording.
    """

    recording: Recording
    start: int = 0

    @property
    def name(self) -> str:
        """What to call it."""
        return self.recording.name

    @property
    def label(self) -> int | None:
        """Its class, from 0, if its file tells; among its own data set's classes."""
        return self.recording.label

    @property
    def num_frames(self) -> int:
        """Frames from the first to the last that is not empty."""
        return self.recording.num_frames

    @property
    def skeleton(self) -> Skeleton:
        """The joints; UserError if it is not known which."""
        return self.recording.known_skeleton()

    def cut(self, start: int, stop: int) -> Take:
        """Return frames `start` to `stop` - 1 as a recording of its own."""
        return replace(self, recording=self.recording.between(start, stop), start=self.start + start)

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

    def pose_clip(self) -> PoseClip:
        """Return the persons of a recording as annotations hold them; of more than two in space the two seen longest.

        Raises:
            NothingToSee: there is nobody in it.
        """
        frames, confidence = np.array(self.recording.frames)[:self.num_frames], self.recording.confidence
        seen = (frames != 0).any(axis=(2, 3)).sum(axis=0)  # (M,) frames of each body
        if not seen.any():
            raise NothingToSee(f"{self.name}: no frame holds a body; choose another recording")
        bodies = np.flatnonzero(seen)
        if frames.shape[3] == 3:
            bodies = np.sort(bodies[np.argsort(-seen[bodies], kind="stable")[:2]])
        score = None if confidence is None else _half(confidence[:self.num_frames, bodies].transpose(1, 0, 2))
        width, height = self.recording.image_size or (0, 0)
        return PoseClip(_half(frames[:, bodies].transpose(1, 0, 2, 3)), score, (height, width))

    def raw_frames(self) -> np.ndarray:
        """Return (T, V, C) float64 as recorded, of one body; raises as `archive_clip`."""
        raise self._cannot("be taken as one body's plain frames, which this run was trained on")

    def picture(self) -> SkeletonClip:
        """Return it as something to draw."""
        return self.recording.picture(Path(self.name).name)

    def _cannot(self, what: str) -> UserError:
        return UserError(f"{self.name}: a recording of this kind cannot {what}; see docs/predict.md for what can")


def _half(array: np.ndarray) -> np.ndarray:
    """Return numbers as float16, as annotations have them, where that holds them; else as float32."""
    half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array.astype(np.float32)


def _finished(clip: np.ndarray, rules: ClipFile, skeleton: Skeleton) -> np.ndarray:
    """Return a clip of joints (C, T, V, M) as `rules` want it."""
    if rules.bones:
        clip = joints_to_bones(clip[None], skeleton).astype(np.float32, copy=False)[0]
    return clip


def _repeated(clip: np.ndarray, length: int) -> np.ndarray:
    """Return (T, V, C) as (C, length, V, 1), its frames repeated to the end, as `clip_archive` writes them."""
    return clip[np.arange(length) % len(clip)].transpose(2, 0, 1)[..., None]


@dataclass(frozen=True, eq=False)
class Seen(Take):
    """A recording of NTU RGB+D's skeleton, of which the people who matter are chosen."""

    def archive_clip(self, twin: bool) -> np.ndarray:
        actors = actors_of(scene_of(self.recording.sightings(), self.name), self.name)
        row = np.zeros((1, len(actors), NTU_VALUES), np.float32)
        fill_row(row[0], actors, twin)
        return layouts.as_converted(row, layouts.KAGGLE)[0]

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        if rules.from_archive:
            return _from_ntu_archive(self.archive_clip(twin=False), rules)
        frames = clip_of_recording(self.recording.sightings(), self.name)  # (3, F, V, M)
        clip = np.zeros((1, 3, MAX_FRAMES, *frames.shape[2:]), np.float32)
        clip[0, :, :frames.shape[1]] = frames
        return _finished(pre_normalize(clip)[0], rules, NTU_25)


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
    """A clip of an archive: zeros behind the last frame. length: of a window, whatever is in it."""

    length: int | None = None

    @property
    def num_frames(self) -> int:
        return self.recording.num_frames if self.length is None else self.length

    def cut(self, start: int, stop: int) -> Archived:
        frames = self.recording.frames
        part = np.zeros_like(frames)  # as long as before: it would be padded like the others
        part[:stop - start] = frames[start:stop]
        return replace(self, recording=replace(self.recording, held=part), start=self.start + start,
                       length=stop - start)

    def archive_clip(self, twin: bool) -> np.ndarray:
        frames = self.recording.frames
        if not frames.any():
            raise NothingToSee(f"{self.name}: no frame holds a body; choose another clip")
        return np.ascontiguousarray(frames.transpose(3, 0, 2, 1), np.float32)  # (T, M, V, C) -> (C, T, V, M)

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        clip = self.archive_clip(twin=False)
        if clip.shape[:1] + clip.shape[2:] == (layouts.NUM_COORDINATES, layouts.NUM_JOINTS, layouts.NUM_BODIES):
            return _from_ntu_archive(clip, replace(rules, padded=clip.shape[1]))
        one_body = between_bodies(self.recording.frames[:, 0])  # (T, V, C)
        return _finished(_repeated(one_body, rules.resized or rules.padded), rules, self.skeleton)


@dataclass(frozen=True, eq=False)
class OneBody(Take):
    """A recording of one body, which is moved to the origin and otherwise taken as it is."""

    def archive_clip(self, twin: bool) -> np.ndarray:
        return np.ascontiguousarray(self._centred().transpose(2, 0, 1)[..., None])

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        clip = _repeated(self._centred(), rules.resized or rules.padded)
        return _finished(np.ascontiguousarray(clip), rules, self.skeleton)

    def raw_frames(self) -> np.ndarray:
        return self._alone()

    def _centred(self) -> np.ndarray:
        """Return (T, V, C) float32."""
        return centred(self._alone(), self.recording.centre, self.name)

    def _alone(self) -> np.ndarray:
        frames = self.recording.frames
        if frames.shape[1] != 1:
            raise self._cannot(f"be taken as one body's frames, since it holds {frames.shape[1]} bodies")
        return frames[:, 0]


@dataclass(frozen=True, eq=False)
class Poses(Take):
    """Poses in a picture, with confidences: two people, (T, 2, V, 2), as Kinetics-Skeleton has them."""

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        frames = _with_confidence(self.recording)
        if not frames.any():
            raise NothingToSee(f"{self.name}: no frame holds a pose; choose another recording")
        if frames.shape[1] > MAX_FRAMES:
            raise UserError(f"{self.name}: {frames.shape[1]} frames, but MS-G3D's files hold {MAX_FRAMES}; cut it into "
                            f"windows with --window-frames")
        clip = np.zeros((3, MAX_FRAMES, *frames.shape[2:]), np.float32)
        clip[:, :frames.shape[1]] = frames
        return _finished(clip, rules, self.skeleton)


@dataclass(frozen=True, eq=False)
class Filed(Take):
    """A clip of MS-G3D's files, of joints or bones, as the run's own file holds them."""

    @property
    def num_frames(self) -> int:
        return len(self.recording.frames)

    def cut(self, start: int, stop: int) -> Take:
        raise self._cannot("be cut into windows")

    def archive_clip(self, twin: bool) -> np.ndarray:
        raise UserError(f"{self.name}: clips of a .npy file are laid out for MS-G3D, and this run was trained on an "
                        "archive (.npz); clips laid out like that archive's can be predicted without labels: "
                        "numpy.savez('clips.npz', x=clips)")

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        return _with_confidence(self.recording)


def _with_confidence(recording: Recording) -> np.ndarray:
    """Return (C, T, V, M) float32, a confidence, if there is one, as the last channel."""
    frames = recording.frames
    if recording.confidence is not None:
        frames = np.concatenate([frames, recording.confidence[..., None]], axis=3)
    return np.array(frames.transpose(3, 0, 2, 1), np.float32)  # (T, M, V, C) -> (C, T, V, M)


@dataclass(frozen=True, eq=False)
class Estimated(Take):
    """People of a pose estimator or of motion capture, fitted to the run's joints as convert_poses.py fits them."""

    def archive_clip(self, twin: bool) -> np.ndarray:
        if not same_joints(self.skeleton, NTU_25):
            raise self._cannot("become a clip of an archive (.npz)")
        clip = archive_clip(self.recording)
        if twin and not clip[..., 1].any():
            clip[..., 1] = clip[..., 0]
        return clip

    def file_clip(self, rules: ClipFile) -> np.ndarray:
        if same_joints(self.skeleton, OPENPOSE_18):
            return self._as_kinetics().file_clip(rules)
        if not same_joints(self.skeleton, NTU_25):
            raise self._cannot("become a clip of MS-G3D's files (.npy)")
        return _from_ntu_archive(self.archive_clip(twin=False), rules)

    def pose_clip(self) -> PoseClip:
        recording = self.recording
        first, stop = first_and_stop(occupied(recording.frames)[None])
        recording = recording.between(int(first[0]), int(stop[0]))
        if recording.frames.shape[3] == 3:  # as annotations in space are
            recording = replace(recording, confidence=None)
        return Take(recording).pose_clip()

    def _as_kinetics(self) -> Poses:
        """Return it as Kinetics-Skeleton has poses: shares of the picture from its middle, y up, two people."""
        recording = self.recording
        size, sure = recording.image_size, recording.confidence
        assert sure is not None
        if size is None:
            raise UserError(f"{self.name}: the size of its picture is not known, of which this model takes shares; say "
                            "it with --image-size WIDTHxHEIGHT")
        places = np.where(sure[..., None] > 0, (recording.frames / np.array(size) - 0.5) * (1, -1), 0)
        held = np.zeros((len(places), 2, *places.shape[2:]), np.float32)
        scores = np.zeros(held.shape[:3], np.float32)
        held[:, :places.shape[1]], scores[:, :sure.shape[1]] = places, sure
        return Poses(replace(recording, held=held, confidence=scores), self.start)


def take_of(recording: Recording) -> Take:
    """Return a recording as what can be predicted, by its kind."""
    if recording.from_poses:
        return Estimated(recording)
    if recording.made is Made.ARCHIVED:
        return Archived(recording)
    if recording.made is Made.FILED:
        return Filed(recording)
    if is_ntu(recording):
        return Seen(recording)
    return Poses(recording) if recording.confidence is not None else OneBody(recording)


def open_takes(path: Path, wanted: Wanted) -> list[Take]:
    """Open a recording, or the chosen clips of a file of many.

    Raises:
        UserError: there is no such file or clip, or it is damaged or of no known kind.
    """
    wanted = as_trained(wanted)
    return [fitted_take(recording, wanted) for recording in open_recordings(path, wanted)]


def as_trained(wanted: Wanted) -> Wanted:
    """Return what to open where the file has a choice: joints in space, with hands, for a model of NTU's joints."""
    in_space = wanted.usual is not None and same_joints(wanted.usual, NTU_25)
    return replace(wanted, hands=in_space, in_space=in_space)


def fitted_take(recording: Recording, wanted: Wanted) -> Take:
    """Return a recording as what can be predicted, with the joints that are wanted, or those that the model takes."""
    recording = recording.with_skeleton(wanted.skeleton, wanted.usual)
    if wanted.of_kinect and recording.skeleton is not None and same_joints(recording.skeleton, MEDIAPIPE_33):
        note("MediaPipe guesses depth from a picture; a model trained on a Kinect's joints does worse on such")
    return take_of(fit_joints(recording, wanted.usual))
