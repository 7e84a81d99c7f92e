"""One recording as MS-G3D takes it: a clip (3, F, V, 2) float32 of the two people who matter most.

Sources: MS-G3D (Liu et al., CVPR 2020), after 2s-AGCN (NTU RGB+D) and ST-GCN (Kinetics-Skeleton).
"""

from __future__ import annotations

import numpy as np

from skeleton_lab.data.formats.face import REMEDY, load_json
from skeleton_lab.data.formats.kinetics import NUM_PEOPLE, read_poses
from skeleton_lab.data.formats.sightings import Sightings
from skeleton_lab.data.formats.skeleton_file import NUM_JOINTS, read_recording
from skeleton_lab.errors import NothingToSee, UserError

MAX_FRAMES = 300  # T of the files

_MAX_BODIES = 4  # in a frame of NTU RGB+D; what comes after is ignored


def read_ntu_clip(path: str, label: int) -> np.ndarray:
    """Return an NTU recording's two liveliest bodies, (3, F, 25, 2) float32 in metres. The label plays no part.

    Raises:
        UserError: the recording is damaged or longer than 300 frames.
        NothingToSee: there is no body in it.
    """
    return clip_of_recording(read_recording(path), path)


def clip_of_recording(recording: Sightings, path: str) -> np.ndarray:
    """Return what `read_ntu_clip` does of a recording that has been read; `path` names it in messages.

    Raises:
        UserError, NothingToSee: likewise.
    """
    if not recording.body_ids:
        raise NothingToSee(f"{path}: no frame holds a body; put it on the list of samples with missing skeletons")
    if recording.num_frames > MAX_FRAMES:
        raise UserError(f"{path}: {recording.num_frames} frames, but MS-G3D's files hold {MAX_FRAMES}; leave it out, "
                        "or cut it into windows (predict.py --window-frames)")
    return liveliest_bodies(recording)


def liveliest_bodies(recording: Sightings) -> np.ndarray:
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
    """Return a Kinetics recording's two most certain poses of each frame, (3, F, 18, 2) float32: see `kinetics`.

    Raises:
        UserError: the file is no such recording, is longer than 300 frames, or its own label is not `label`.
    """
    recording = load_json(path)
    clip = read_poses(path, recording, MAX_FRAMES)
    if recording.get("label_index") != label:
        raise UserError(f"{path}: label_index is {recording.get('label_index')!r:.40}, but {label} in the label file; "
                        f"{REMEDY}")
    return clip
