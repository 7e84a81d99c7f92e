"""One recording as MS-G3D takes it: a clip (3, F, V, 2) float32 of the two people who matter most.

Sources: MS-G3D (Liu et al., CVPR 2020), after 2s-AGCN (NTU RGB+D) and ST-GCN (Kinetics-Skeleton).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats.skeleton_file import NUM_JOINTS, Recording, read_recording
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.skeletons import OPENPOSE_18

MAX_FRAMES = 300  # T of the files
NUM_PEOPLE = 2  # M of the files

_MAX_BODIES = 4  # in a frame of NTU RGB+D; what comes after is ignored
_MAX_POSES = 5  # in a frame of Kinetics-Skeleton, likewise
_MAX_JSON_BYTES = 64 << 20
_REMEDY = "download it again or leave it out"


def read_ntu_clip(path: str, label: int) -> np.ndarray:
    """Return an NTU recording's two liveliest bodies, (3, F, 25, 2) float32 in metres. The label plays no part.

    Raises:
        UserError: the recording is damaged or longer than 300 frames.
        NothingToSee: there is no body in it.
    """
    return clip_of_recording(read_recording(path), path)


def clip_of_recording(recording: Recording, path: str) -> np.ndarray:
    """Return what `read_ntu_clip` does of a recording that has been read; `path` names it in messages.

    Raises:
        UserError, NothingToSee: likewise.
    """
    if not recording.body_ids:
        raise NothingToSee(f"{path}: no frame holds a body; put it on the list of samples with missing skeletons")
    if recording.num_frames > MAX_FRAMES:
        raise UserError(f"{path}: {recording.num_frames} frames, but MS-G3D's files hold {MAX_FRAMES}; leave it out")
    return liveliest_bodies(recording)


def liveliest_bodies(recording: Recording) -> np.ndarray:
    """Return (3, F, 25, 2) float32: the two bodies whose coordinates vary most, the liveliest first.

    A body is here a place in the frame, not an id: the first of each frame, the second, and so on. Published results
    rest on that. Frames without it stay zero. Among equals the later place comes first.
    """
    bodies = np.zeros((_MAX_BODIES, recording.num_frames, NUM_JOINTS, 3))
    seen = recording.slots < _MAX_BODIES
    bodies[recording.slots[seen], recording.frames[seen]] = recording.joints[seen]
    energies = [_energy(body) for body in bodies]
    chosen = sorted(range(_MAX_BODIES), key=lambda place: (energies[place], place), reverse=True)[:NUM_PEOPLE]
    return bodies[chosen].transpose(3, 1, 2, 0).astype(np.float32)  # (M, F, V, C) -> (C, F, V, M)


def _energy(body: np.ndarray) -> float:
    """Return the standard deviations of x, y and z over all joints (F, V, C) of non-empty frames, summed, in metres."""
    present = body[body.sum(axis=(1, 2)) != 0]
    return float(present.reshape(-1, 3).std(axis=0).sum()) if len(present) else 0.0


def read_kinetics_clip(path: str, label: int) -> np.ndarray:
    """Return a Kinetics recording's two most certain poses of each frame, (3, F, 18, 2) float32: x, y, confidence.

    x and y are in shares of the image, from its middle, y up; a joint without confidence is at 0, 0. Each frame is
    sorted for itself, so people may swap places. F is the last frame with a pose, and at least 1.

    Raises:
        UserError: the file is no such recording, or its own label is not `label`.
    """
    recording = load_json(path)
    if not isinstance(recording, dict) or not isinstance(recording.get("data"), list):
        raise UserError(f"{path}: no list of frames named 'data'; {_REMEDY}")
    if recording.get("label_index") != label:
        raise UserError(f"{path}: label_index is {recording.get('label_index')!r:.40}, but {label} in the label file; "
                        f"{_REMEDY}")
    clip = np.zeros((3, MAX_FRAMES, OPENPOSE_18.num_joints, _MAX_POSES))
    num_frames = 1
    for number, frame in enumerate(recording["data"]):
        try:
            index, poses = _read_frame(frame)
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(f"{path}: frame {number + 1} of its list: {error!r:.80}; {_REMEDY}") from error
        clip[:, index, :, :len(poses)] = poses.transpose(1, 2, 0)  # (people, C, V) -> (C, V, people)
        num_frames = max(num_frames, index + 1)
    return most_certain_poses(clip[:, :num_frames])


def _read_frame(frame: Any) -> tuple[int, np.ndarray]:
    """Return a frame's index, and (people, 3, V) float64 for up to five people. Raises ValueError and the like."""
    index = frame["frame_index"]
    if not isinstance(index, int) or not 0 <= index < MAX_FRAMES:
        raise ValueError(f"frame_index {index!r:.20} is not in 0..{MAX_FRAMES - 1}")
    people = frame["skeleton"][:_MAX_POSES]
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


def load_json(path: str | Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        UserError: it cannot be read, is larger than 64 MiB, or is no JSON (names the line).
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_JSON_BYTES + 1)
        if len(text) > _MAX_JSON_BYTES:
            raise UserError(f"{path}: is larger than {_MAX_JSON_BYTES >> 20} MiB; {_REMEDY}")
        return json.loads(text)
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); {_REMEDY}") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: is not JSON ({error.msg}); {_REMEDY}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON ({type(error).__name__}); {_REMEDY}") from error
