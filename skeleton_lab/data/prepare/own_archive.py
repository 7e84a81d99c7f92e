"""Clips of one's own to an archive: joints in space in the converted layout, those in pictures as clips of poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.about import About, write_about
from skeleton_lab.data.formats.archive import NpzWriter
from skeleton_lab.data.formats.fitting import MOST_PEOPLE, archive_clip
from skeleton_lab.data.formats.pose_clips import PoseClip, write_pose_clips
from skeleton_lab.data.prepare.class_folders import Clip, Clips
from skeleton_lab.skeleton_names import same_joints
from skeleton_lab.skeletons import NTU_25

PARTS = ("train", "test")


def is_in_space(clips: Clips) -> bool:
    """Whether the archive holds joints in space."""
    return same_joints(clips.target, NTU_25)


def write_archive(path: Path, clips: Clips, tests: np.ndarray, fps: float) -> None:
    """Write clips, those that `tests` (N,) bool marks as the test split.

    Raises:
        UserError: the archive cannot be written; nothing is left of it then.
    """
    parts = {part: [clip for clip, test in zip(clips.clips, tests.tolist(), strict=True) if test == (part == "test")]
             for part in PARTS}
    about = About(clips.class_names, clips.target, fps)
    if is_in_space(clips):
        _write_in_space(path, parts, about)
    else:
        places = {"train": np.flatnonzero(~tests), "test": np.flatnonzero(tests)}
        write_pose_clips(path, [_pose_clip(clip) for clip in clips.clips], [clip.name for clip in clips.clips],
                         {part: found for part, found in places.items() if len(found)}, about)


def _write_in_space(path: Path, parts: dict[str, list[Clip]], about: About) -> None:
    """Write x (N, C, T, V, M) float32, zeros behind a clip's last frame, and y (N,) int64."""
    longest = max(len(clip.recording.frames) for part in parts.values() for clip in part)
    with NpzWriter(path) as writer:
        for part, clips in parts.items():
            if not clips:
                continue
            shape = (len(clips), 3, longest, NTU_25.num_joints, MOST_PEOPLE)
            with writer.member(f"x_{part}", shape, np.float32) as sink:
                for clip in clips:
                    made = archive_clip(clip.recording)
                    block = np.zeros((1, *shape[1:]), np.float32)
                    block[0, :, :made.shape[1]] = made
                    sink.append(block)
            writer.write(f"y_{part}", np.array([clip.label for clip in clips], np.int64))
        names = {part: tuple(clip.name for clip in clips) for part, clips in parts.items() if clips}
        write_about(writer, About(about.class_names, about.skeleton, about.fps, names))


def _pose_clip(clip: Clip) -> PoseClip:
    recording = clip.recording
    assert recording.confidence is not None
    width, height = recording.image_size or (0, 0)
    return PoseClip(recording.frames.transpose(1, 0, 2, 3), recording.confidence.transpose(1, 0, 2), (height, width),
                    clip.label)  # (T, M, V, C) -> (M, T, V, C)
