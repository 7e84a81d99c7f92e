"""Bone files for MS-G3D: each joint relative to its neighbour towards the root, all channels but scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats import archive
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import OPENPOSE_18, Skeleton

_SCORE = 2  # the channel


def joints_to_bones(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return (N, C, T, V, M) with each joint relative to its reference, in all channels; the root becomes zero.

    That includes the third channel where it is a confidence (Kinetics-Skeleton), as upstream does. Of other flat
    skeletons it is the mean of the two scores.
    """
    references = joints[:, :, :, list(skeleton.parents)]
    bones = joints - references
    if skeleton.flat and skeleton is not OPENPOSE_18 and bones.shape[1] > _SCORE:
        bones[:, _SCORE] = (joints[:, _SCORE] + references[:, _SCORE]) / 2
    return bones


def write_bone(path_in: str | Path, path_out: str | Path, skeleton: Skeleton) -> None:
    """Write the bones of a joint file, clip by clip, in constant memory; the new file appears whole or not at all.

    Args:
        path_in: `.npy`, (N, C, T, V, M) of any float type.
        path_out: `.npy`, float32 of the same shape.
        skeleton: V joints; its root's bone is zero.

    Raises:
        UserError: the joint file is missing, damaged or of another shape, or the bone file cannot be written.
    """
    header = archive.find_array(path_in, "")
    if len(header.shape) != 5 or header.shape[3] != skeleton.num_joints or header.dtype.kind != "f":
        raise UserError(f"{path_in}: {header.dtype} of shape {header.shape}, not joints (N, C, T, V="
                        f"{skeleton.num_joints}, M) of {skeleton.name}; check the file, or choose another data set")
    with (archive.create_npy(path_out, header.shape, np.float32) as sink,
          tqdm(total=header.shape[0], unit="clip", desc=Path(path_out).name, disable=None) as progress):
        for _, joints in archive.read_blocks(path_in):
            sink.append(joints_to_bones(joints, skeleton).astype(np.float32, copy=False))
            progress.update(len(joints))
