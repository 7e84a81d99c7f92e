"""Kinetics-Skeleton (Yan et al., AAAI 2018): a JSON file for each recording, OpenPose's 18 joints in a picture.

    {"data": [{"frame_index": 1, "skeleton": [{"pose": [x, y, ...], "score": [...]}, ...]}, ...],
     "label": "jumping", "label_index": 7}

x and y are shares of the picture's width and height from its upper left corner.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats.face import REMEDY, Format, Look, Wanted
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import OPENPOSE_18

MAX_FRAMES = 20_000
NUM_PEOPLE = 2  # of each frame that are kept
MAX_POSES = 5  # in a frame; what comes after is ignored


def _looks_like(look: Look) -> bool:
    content = look.json
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        return False
    frames = content["data"]
    return "label_index" in content or (bool(frames) and isinstance(frames[0], dict) and "frame_index" in frames[0])


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    clip = read_poses(look.path, look.json, MAX_FRAMES)  # (3, F, V, M)
    label = look.json.get("label_index")
    frames = clip.transpose(1, 3, 2, 0)  # (T, M, V, C)
    known = isinstance(label, int) and not isinstance(label, bool) and label >= 0
    return [Recording(str(look.path), frames[..., :2], OPENPOSE_18, frames[..., 2], label=label if known else None)]


FORMAT = Format("Kinetics-Skeleton JSON", (".json",), _looks_like, _read)


def read_poses(path: str | Path, recording: Any, max_frames: int) -> np.ndarray:
    """Return the two most certain poses of each frame of a recording's JSON, (3, F, 18, 2) float32: x, y, confidence.

    x and y are in shares of the image, from its middle, y up; a joint without confidence is at 0, 0. Each frame is
    sorted for itself, so people may swap places. F is the last frame with a pose, and at least 1.

    Raises:
        UserError: it is no such recording, or has more than `max_frames`.
    """
    if not isinstance(recording, dict) or not isinstance(recording.get("data"), list):
        raise UserError(f"{path}: no list of frames named 'data'; {REMEDY}")
    frames: list[tuple[int, np.ndarray]] = []
    for number, frame in enumerate(recording["data"]):
        try:
            frames.append(_read_frame(frame, max_frames))
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(f"{path}: frame {number + 1} of its list: {error!r:.80}; {REMEDY}") from error
    num_frames = max((index for index, _ in frames), default=0) + 1
    clip = np.zeros((3, num_frames, OPENPOSE_18.num_joints, MAX_POSES))
    for index, poses in frames:
        clip[:, index, :, :len(poses)] = poses.transpose(1, 2, 0)  # (people, C, V) -> (C, V, people)
    return most_certain_poses(clip)


def _read_frame(frame: Any, max_frames: int) -> tuple[int, np.ndarray]:
    """Return a frame's index, and (people, 3, V) float64 for up to five people. Raises ValueError and the like."""
    index = frame["frame_index"]
    if not isinstance(index, int) or not 0 <= index < max_frames:
        raise ValueError(f"frame_index {index!r:.20} is not in 0..{max_frames - 1}")
    people = frame["skeleton"][:MAX_POSES]
    poses = np.zeros((len(people), 3, OPENPOSE_18.num_joints))
    for pose, person in zip(poses, people, strict=True):
        pose[0:2] = np.array(person["pose"], np.float64).reshape(-1, 2).T
        pose[2] = np.array(person["score"], np.float64)
    if not np.isfinite(poses).all():
        raise ValueError("a number is not finite")
    return index, poses


def most_certain_poses(clip: np.ndarray) -> np.ndarray:
    """Return (3, F, 18, 2) float32 from (3, F, 18, people): centred, joints without confidence zero, surest first."""
    x, y, score = clip
    x, y = (np.where(score == 0, 0, value) for value in (x - 0.5, 0.5 - y))
    order = np.argsort(-score.sum(axis=1), axis=1, kind="stable")[:, :NUM_PEOPLE]  # (F, M)
    return np.take_along_axis(np.stack([x, y, score]), order[None, :, None, :], axis=3).astype(np.float32)
