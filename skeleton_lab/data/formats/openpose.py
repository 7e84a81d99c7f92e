"""OpenPose's `--write_json`: a folder with a JSON file for each frame; Pose2Sim's and AlphaPose's files of that form.

    {"version": 1.3, "people": [{"pose_keypoints_2d": [x, y, c, ...], "hand_left_keypoints_2d": [...], ...}, ...]}

The frame's number stands in the file's name, `<clip>_<12 digits>_keypoints.json`; a folder may hold several clips.
Pixels, y down, 0, 0, 0 for a joint that was not seen. Nobody is told from one frame to the next. Each list is read by
itself: hands (with `Wanted.hands`) come behind the body's joints, faces are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats.estimates import REMEDY, Facts, Frame, kind_of, number_in, recording_of, set_of, triples
from skeleton_lab.data.formats.face import Format, Look, Wanted, load_json
from skeleton_lab.data.formats.recording import Recording, Recordings, Unit
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import BODY_25, BODY_25_HANDS, HALPE_26, MPI_15
from skeleton_lab.skeletons import HAND_21, OPENPOSE_18

_SETS = {15: MPI_15, 18: OPENPOSE_18, 25: BODY_25, 26: HALPE_26}
_BODY, _BODY_3D = "pose_keypoints_2d", "pose_keypoints_3d"
_HANDS = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")


def _looks_like(look: Look) -> bool:
    if look.is_folder:
        files = _files(look.path)
        return bool(files) and _is_frame(Look(files[0]).json)
    if not isinstance(look.json, dict):
        return False
    return _is_frame(look.json) or _is_frame(next(iter(look.json.values()), None))  # AlphaPose: by the picture's name


def _is_frame(content: Any) -> bool:
    return isinstance(content, dict) and any(isinstance(content.get(key), list) for key in ("people", "bodies"))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".json" and path.is_file())


def _read(look: Look, wanted: Wanted) -> Recordings:
    clips = _clips(look)
    places = wanted.places(look.path, len(clips))
    names = sorted(clips)

    def make(number: int) -> Recording:
        clip = names[places[number]]
        name = str(look.path) if len(names) == 1 else f"{look.path}:{places[number]} {clip}"
        return _recording(name, clips[clip], wanted)

    return Recordings(len(places), make)


def _clips(look: Look) -> dict[str, list[tuple[Path, str]]]:
    """Return by the clip's name its files, each with the key of the frame in it ("": the file is the frame)."""
    if look.is_folder:
        clips: dict[str, list[tuple[Path, str]]] = {}
        for path in _files(look.path):
            stem = path.stem.removesuffix("_keypoints")
            clips.setdefault(stem.rstrip("0123456789").rstrip("_-."), []).append((path, ""))
        return clips
    return {"": [(look.path, "")] if _is_frame(look.json) else [(look.path, key) for key in look.json]}


def _recording(name: str, sources: list[tuple[Path, str]], wanted: Wanted) -> Recording:
    """Read the frames of a clip.

    Raises:
        UserError: a file is damaged, or people have other joints than those before.
    """
    frames: list[Frame] = []
    content: Any = None
    for path, key in sources:
        where = f"{path}:{key}" if key else str(path)
        try:
            content = load_json(path) if len(frames) == 0 or not key else content
            people = _people(content[key] if key else content, wanted)
            frames.append(Frame(number_in(key or path.name) if len(sources) > 1 else 0, people))
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else f"{error!s:.120}"
            raise UserError(f"{where}: {reason}; {REMEDY}") from error
    joints, values = kind_of(name, frames)
    with_hands = joints == BODY_25_HANDS.num_joints
    skeleton = BODY_25_HANDS if with_hands else set_of(name, wanted, joints, _SETS.get(joints))
    return recording_of(name, frames, Facts(skeleton, Unit.PIXELS if values == 3 else None, wanted.fps,
                                            wanted.image_size))


def _people(frame: Any, wanted: Wanted) -> np.ndarray:
    """Return the people of a frame, (P, V, C + 1). Raises ValueError and the like."""
    listed = frame["people"] if "people" in frame else frame["bodies"]
    if not isinstance(listed, list):
        raise ValueError("'people' is no list")
    poses = [_pose(person, wanted) for person in listed]
    if len({pose.shape for pose in poses}) > 1:
        raise ValueError(f"people of {' and of '.join(str(len(pose)) for pose in poses)[:80]} joints")
    return np.stack(poses) if poses else np.zeros((0, 0, 3))


def _pose(person: Any, wanted: Wanted) -> np.ndarray:
    """Return one person's joints (V, C + 1), with the hands' behind them if they are wanted."""
    flat, deep = person.get(_BODY, person.get("joints")) or [], person.get(_BODY_3D) or []
    if not flat and not deep:
        raise ValueError(f"a person without '{_BODY}'")
    pose = triples(flat) if flat else triples(deep, 4)
    if len(pose) == BODY_25.num_joints and flat and (
            wanted.skeleton is BODY_25_HANDS or (wanted.hands and wanted.skeleton is None)):
        return np.concatenate([pose, *(_hand(person, key) for key in _HANDS)])
    if wanted.skeleton is None and len(pose) not in _SETS:
        raise ValueError(f"'{_BODY}' has {len(flat) or len(deep)} numbers; BODY_25 has 75, COCO 54, MPI 45, Halpe 78")
    return pose


def _hand(person: Any, key: str) -> np.ndarray:
    pose = triples(person.get(key) or [0.0] * (3 * HAND_21.num_joints))
    if len(pose) != HAND_21.num_joints:
        raise ValueError(f"'{key}' has {3 * len(pose)} numbers, a hand has {3 * HAND_21.num_joints}")
    return pose


FORMAT = Format("OpenPose JSON", (".json",), _looks_like, _read)
