"""One clip from any file the lab knows, in one form, to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats import archive, layouts, packed, small_sets
from skeleton_lab.data.formats.class_indices import read_archive_labels
from skeleton_lab.data.formats.labels import read_labels
from skeleton_lab.data.formats.msg3d_clips import load_json, read_kinetics_clip
from skeleton_lab.data.formats.skeleton_file import Recording, read_recording
from skeleton_lab.errors import UserError
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18, Skeleton, skeleton_with

FORMATS = ".skeleton, .npz, .npy, .json (NW-UCLA, Kinetics), .mat (UTD-MHAD), .txt (MSR-Action3D)"


AnyClip = SkeletonClip


def load_clip(path: str | Path, index: int = 0, split: str = "train", skeleton: Skeleton | None = None) -> AnyClip:
    """Load a clip; see `FORMATS`.

    Args:
        index, split: which clip of an archive. skeleton: in place of the one that the number of joints suggests.

    Raises:
        UserError: there is no such file or clip, or it is damaged.
    """
    path = Path(path)
    loaders: dict[str, Callable[[], AnyClip]] = {
        ".skeleton": lambda: _from_recording(path), ".npz": lambda: _from_archive(path, index, split, skeleton),
        ".npy": lambda: _from_npy(path, index, skeleton), ".json": lambda: _from_json(path),
        ".mat": lambda: _from_set(small_sets.UTD_MHAD, path), ".txt": lambda: _from_set(small_sets.MSR_ACTION3D, path)}
    if path.suffix not in loaders:
        raise UserError(f"{path}: is of no format known here; known are {FORMATS}")
    clip = loaders[path.suffix]()
    if skeleton is not None and skeleton.num_joints != clip.frames.shape[2]:
        raise UserError(f"{path}: has {clip.frames.shape[2]} joints, {skeleton.name} has {skeleton.num_joints}; choose "
                        "another skeleton")
    used = np.flatnonzero(clip.present.any(axis=1))
    if not len(used):
        raise UserError(f"{path}: clip {index} is empty; choose another")
    if not np.isfinite(clip.frames).all():
        raise UserError(f"{path}: clip {index} holds a number that is not finite; make the file again")
    return AnyClip(clip.frames[:used[-1] + 1], skeleton or clip.skeleton, clip.title)


def _from_recording(path: Path) -> AnyClip:
    return AnyClip(bodies_by_id(read_recording(path)), NTU_25, path.stem)


def bodies_by_id(recording: Recording) -> np.ndarray:
    """Return (T, M, 25, 3) float32, one body for each id in the order of appearance."""
    numbers = {body_id: number for number, body_id in enumerate(dict.fromkeys(recording.body_ids))}
    frames = np.zeros((recording.num_frames, max(1, len(numbers)), *recording.joints.shape[1:]), np.float32)
    frames[recording.frames, [numbers[body_id] for body_id in recording.body_ids]] = recording.joints
    return frames


def _from_archive(path: Path, index: int, split: str, skeleton: Skeleton | None) -> AnyClip:
    if split in layouts.SPLITS and packed.is_packed(path, split):
        opened = packed.open_packed(path, split)
        _check_index(path, index, opened.num_clips)
        return AnyClip(opened.frames(index), NTU_25, f"{split} {index}, class {opened.labels[index]}")
    header = archive.list_arrays(path).get(f"x_{split}")
    if header is not None and len(header.shape) == 5 and layouts.layout_of(header.shape) is None:  # another skeleton
        clips = archive.map_array(path, f"x_{split}")
        _check_index(path, index, len(clips))
        label = read_archive_labels(path, f"y_{split}", len(clips))[index]
        title = f"{split} {index}, class {label}"
        return AnyClip(_frames(clips[index]), skeleton or skeleton_with(clips.shape[3]), title)
    data = layouts.open_split(path, split)
    _check_index(path, index, data.num_clips)
    return AnyClip(np.array(data.frames(index)), NTU_25, f"{split} {index}, class {data.labels[index]}")


def _from_npy(path: Path, index: int, skeleton: Skeleton | None) -> AnyClip:
    clips = archive.map_array(path)
    if clips.ndim != 5 or clips.shape[1] != 3:
        raise UserError(f"{path}: has shape {clips.shape}, not clips (N, 3, T, V, M)")
    _check_index(path, index, len(clips))
    title = f"clip {index}"
    labels = path.with_name(f"{path.name.split('_data_')[0]}_label.pkl")
    if labels.exists():
        names, classes = read_labels(labels)
        if index < len(names):
            title = f"{Path(names[index]).stem}, class {classes[index]}"
    return AnyClip(_frames(clips[index]), skeleton or skeleton_with(clips.shape[3]), title)


def _from_json(path: Path) -> AnyClip:
    content = load_json(path)
    if isinstance(content, dict) and "data" in content:
        label = content.get("label_index")
        if not isinstance(label, int):
            raise UserError(f"{path}: has no label_index; download it again or choose another")
        frames = _frames(read_kinetics_clip(str(path), label))
        frames[..., 2] = 0  # a confidence, not a depth
        return AnyClip(frames, OPENPOSE_18, f"{path.stem}, class {label}")
    return _from_set(small_sets.NW_UCLA, path)


def _from_set(data_set: small_sets.SmallSet, path: Path) -> AnyClip:
    match = data_set.pattern.fullmatch(path.name)
    if match is None or int(match["action"]) not in data_set.actions:
        raise UserError(f"{path}: is not named like {data_set.name}'s files")
    label = data_set.actions.index(int(match["action"]))
    return AnyClip(small_sets.read_clip(data_set, path)[:, None], data_set.skeleton, f"{path.stem}, class {label}")


def _frames(clip: np.ndarray) -> np.ndarray:
    """Return a clip (C, T, V, M) as (T, M, V, C) float32, a copy."""
    return np.array(clip.transpose(1, 3, 2, 0), np.float32)


def _check_index(path: Path, index: int, num_clips: int) -> None:
    if not 0 <= index < num_clips:
        raise UserError(f"{path}: there is no clip {index}; it holds {num_clips}, numbered from 0")
