"""MS-G3D's clips: a `.npy` file (N, C, T, V, M), and beside it a pickle of their names and labels.

What else is known of them stands beside too, in a JSON file named like the label file with `_about.json` in place of
`_label.pkl`: see `about`.
"""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.about import About, read_beside
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.labels import read_labels
from skeleton_lab.data.formats.recording import Made, Recording, Recordings
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18, Skeleton


def _looks_like(look: Look) -> bool:
    header = look.arrays.get("")
    return header is not None and len(header.shape) == 5 and header.dtype.kind == "f"


def _read(look: Look, wanted: Wanted) -> Recordings:
    path = look.path
    clips = archive.map_array(path)  # (N, C, T, V, M)
    places = wanted.places(path, len(clips))
    label_path = label_path_of(path)
    names, labels = read_labels(label_path) if label_path.exists() else ([], [])
    about = read_beside(label_path, wanted.usual)
    skeleton = wanted.skeleton or skeleton_of(clips.shape, about)

    def make(number: int) -> Recording:
        index = places[number]
        named = index < len(names)
        frames = clips[index].transpose(1, 3, 2, 0)  # (C, T, V, M) -> (T, M, V, C)
        flat = skeleton is OPENPOSE_18  # whose third channel is a confidence
        return Recording(f"{path}:{index}" + (f" {Path(names[index]).stem}" if named else ""),
                         frames[..., :2] if flat else frames, skeleton, frames[..., 2] if flat else None,
                         fps=about.fps, label=labels[index] if named and labels[index] >= 0 else None,
                         class_names=about.class_names, made=Made.FILED)

    return Recordings(len(places), make)


def label_path_of(path: Path) -> Path:
    """Return where the labels of a file of clips are: `val_label.pkl` of `val_data_joint.npy`."""
    return path.with_name(f"{path.name.split('_data')[0]}_label.pkl")


def skeleton_of(shape: tuple[int, ...], about: About) -> Skeleton | None:
    """Return the skeleton of clips of a shape (N, C, T, V, M): as is said beside them, or as the published files have.

    Those hold two bodies of NTU RGB+D's 25 joints, or of Kinetics-Skeleton's 18.
    """
    if about.skeleton is not None:
        return about.skeleton
    return next((skeleton for skeleton in (NTU_25, OPENPOSE_18) if shape[3:] == (skeleton.num_joints, 2)), None)


FORMAT = Format("clips of MS-G3D (.npy)", (".npy",), _looks_like, _read)
