"""AMASS and other motions of the body models SMPL, SMPL-H and SMPL-X (`.npz`): rotations of joints, no places.

`poses` (T, 72, 156 or 165) holds an axis times an angle for each joint, the body's first; `trans` (T, 3) metres, z up;
`mocap_framerate` or `mocap_frame_rate`. The places of joints need the body model, which is licensed. Here a mean
skeleton of our own stands for it: places are approximate, and nothing of `betas` is in them. They are turned so that y
is up.
"""

from __future__ import annotations

import numpy as np

from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.estimates import MAX_FRAMES
from skeleton_lab.data.formats.face import REMEDY, Format, Look, Wanted
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import UserError, note
from skeleton_lab.own_skeletons import SMPL_24

_WIDTHS = (72, 156, 165)
_RATES = ("mocap_frame_rate", "mocap_framerate", "fps")
_TURNED = 22  # joints of the body, whose rotations come first
# From the parent to each joint of somebody 1.7 m tall in T-pose, metres: x to the person's left, y up, z to the front.
# Of the left side; the right one is its mirror.
_OFFSETS = {
    "pelvis": (0, 0, 0), "left hip": (0.08, -0.08, 0), "left knee": (0.02, -0.39, 0), "left ankle": (0, -0.41, -0.03),
    "left foot": (0.03, -0.06, 0.12), "spine 1": (0, 0.11, -0.02), "spine 2": (0, 0.13, 0), "spine 3": (0, 0.06, 0.02),
    "neck": (0, 0.21, -0.04), "head": (0, 0.09, 0.04), "left collar": (0.07, 0.12, -0.03),
    "left shoulder": (0.11, 0.03, -0.02), "left elbow": (0.26, 0, -0.02), "left wrist": (0.25, 0, 0),
    "left hand": (0.08, 0, 0),
}


def _looks_like(look: Look) -> bool:
    return {"poses", "trans"} <= look.arrays.keys() and look.arrays["poses"].dtype.kind == "f"


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path = look.path
    poses, trans = look.arrays["poses"], look.arrays["trans"]
    if len(poses.shape) != 2 or poses.shape[1] not in _WIDTHS or trans.shape != (poses.shape[0], 3) \
            or trans.dtype.kind != "f" or not 0 < poses.shape[0] <= MAX_FRAMES:
        raise UserError(f"{path}: poses {poses.shape} and trans {trans.shape} are no motion of SMPL's joints; expected "
                        f"(T, 72, 156 or 165) and (T, 3); {REMEDY}")
    rates = [archive.read_whole(path, key) for key in _RATES if key in look.arrays
             and look.arrays[key].dtype.kind in "fiu" and look.arrays[key].nbytes == look.arrays[key].dtype.itemsize]
    rate = float(rates[0].item()) if rates and 0 < rates[0].item() < 1e6 else None
    turns = np.asarray(archive.read_whole(path, "poses")[:, :3 * _TURNED], np.float64).reshape(-1, _TURNED, 3)
    places = _places(turns, np.asarray(archive.read_whole(path, "trans"), np.float64))
    if not np.isfinite(places).all():
        raise UserError(f"{path}: holds a number that is not finite; {REMEDY}")
    note("motions of body models hold no places of joints: those of a mean skeleton are taken, which are approximate")
    upright = places[..., [0, 2, 1]] * (1, 1, -1)
    return [Recording(str(path), upright[:, None], SMPL_24, fps=wanted.fps or rate, unit=Unit.METRES,
                      from_poses=True)]


def _places(turns: np.ndarray, trans: np.ndarray) -> np.ndarray:
    """Return where the joints are, (T, 24, 3), by rotations (T, 22, 3) and the pelvis's path (T, 3)."""
    matrices = _matrices(turns)
    rotation: dict[int, np.ndarray] = {}
    places = np.zeros((len(turns), SMPL_24.num_joints, 3))
    for joint, name in enumerate(SMPL_24.joint_names):  # parents come before their children
        parent = SMPL_24.parents[joint]
        offset = np.array(_OFFSETS[name.replace("right ", "left ")]) * ((-1 if name.startswith("right ") else 1), 1, 1)
        if joint == SMPL_24.root:
            rotation[joint], places[:, joint] = matrices[:, joint], trans
            continue
        places[:, joint] = places[:, parent] + rotation[parent] @ offset
        rotation[joint] = rotation[parent] @ matrices[:, joint] if joint < _TURNED else rotation[parent]
    return places


def _matrices(turns: np.ndarray) -> np.ndarray:
    """Return rotation matrices (..., 3, 3) of axes times angles (..., 3), by Rodrigues' formula."""
    angle = np.linalg.norm(turns, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(turns / np.maximum(angle[..., 0], 1e-12), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*turns.shape, 3)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))


FORMAT = Format("AMASS .npz", (".npz",), _looks_like, _read)
