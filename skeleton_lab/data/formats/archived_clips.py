"""Archives of clips (`.npz`): NTU RGB+D's in three layouts, and those of any skeleton in the converted layout.

For each split, `x_<split>` and, where the classes are known, `y_<split>`; or `x` and `y` alone. See `layouts`, `packed`
and `about` for what else may be there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats import archive, layouts, packed
from skeleton_lab.data.formats.about import read_about
from skeleton_lab.data.formats.archive import ArrayHeader
from skeleton_lab.data.formats.class_indices import read_archive_labels
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.recording import Made, Recording, Recordings
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25

UNPACKED_BYTES = 1 << 30  # of deflated clips that are held at a time
_WITHOUT_SPLIT = "all"


def _looks_like(look: Look) -> bool:
    return any((header.dtype.kind == "f" and len(header.shape) in (3, 5)) or f"tracks_{split}" in look.arrays
               for split, header in _splits(look.arrays).items())


def _splits(headers: dict[str, ArrayHeader]) -> dict[str, ArrayHeader]:
    """Return the headers of clips by split."""
    found = {key.removeprefix("x_"): header for key, header in headers.items() if key.startswith("x_")}
    return {**found, **({_WITHOUT_SPLIT: headers["x"]} if "x" in headers else {})}


def _read(look: Look, wanted: Wanted) -> Recordings:
    path = look.path
    split = _chosen_split(look, wanted)
    frames_of, count = _clips(look, split, wanted)
    places = wanted.places(path, count)
    label_key = "y" if split == _WITHOUT_SPLIT else f"y_{split}"
    labels = read_archive_labels(path, label_key, count) if label_key in look.arrays else None
    if labels is not None and len(labels) != count:
        raise UserError(f"{path}: '{label_key}' has {len(labels)} labels of {count} clips; make the archive again")
    about = read_about(path, wanted.usual, wanted.skeleton)
    skeleton = about.skeleton
    if skeleton is None and (wanted.usual is None or wanted.usual.num_joints != NTU_25.num_joints):
        skeleton = NTU_25 if _is_ntu(look, split) else None

    def make(number: int) -> Recording:
        index = places[number]
        name = about.name_of(split, index)
        label = None if labels is None or labels[index] < 0 else int(labels[index])
        place = f"{index}" if split == _WITHOUT_SPLIT else f"{split} {index}"
        return Recording(f"{path}:{place}" + (f" {name}" if name else ""), frames_of(index), skeleton, fps=about.fps,
                         label=label, class_names=about.class_names, made=Made.ARCHIVED)

    return Recordings(len(places), make)


def _chosen_split(look: Look, wanted: Wanted) -> str:
    splits = _splits(look.arrays)
    if wanted.split is None:
        return next((split for split in (wanted.first_split, "test", "train") if split in splits), next(iter(splits)))
    if wanted.split not in splits:
        raise UserError(f"{look.path}: has no split '{wanted.split}', only {', '.join(splits)}; choose one with "
                        "--split")
    return wanted.split


def _is_ntu(look: Look, split: str) -> bool:
    """Whether a split is in a layout that only NTU RGB+D's archives have: packed, (N, T, 150) or two bodies of 25."""
    return f"tracks_{split}" in look.arrays or layouts.layout_of(_splits(look.arrays)[split].shape) is not None


def _clips(look: Look, split: str, wanted: Wanted) \
        -> tuple[Callable[[int], np.ndarray | Callable[[], np.ndarray]], int]:
    """Return what gives the frames (T, M, V, C) of a clip, and the number of clips."""
    path, header = look.path, _splits(look.arrays)[split]
    if f"tracks_{split}" in look.arrays:
        opened = packed.open_packed(path, split)
        return lambda index: lambda: opened.frames(index), opened.num_clips
    layout = layouts.layout_of(header.shape) or layouts.CONVERTED
    if layout == layouts.CONVERTED and (len(header.shape) != 5 or header.shape[1] not in (2, 3)):
        raise UserError(f"{path}: '{header.key}' has shape {header.shape}; expected clips (N, C, T, V, M), C being "
                        f"2 or 3, or {layouts.LAYOUT_SHAPES[layouts.KAGGLE]}; save them in that order of axes")
    if 0 in header.shape or not header.shape:
        raise UserError(f"{path}: '{header.key}' has shape {header.shape}: no clips, or none with frames; make the "
                        "archive again")
    if not header.compressed:
        clips = archive.map_array(path, header.key)
        return lambda index: layouts.as_frames(clips[index], layout), len(clips)
    unpacked = _unpacked(path, header, wanted)
    return lambda index: layouts.as_frames(unpacked[index], layout), header.shape[0]


def _unpacked(path: Path, header: ArrayHeader, wanted: Wanted) -> dict[int, np.ndarray]:
    """Return the chosen clips of a deflated array, which can only be read from front to back."""
    places = set(wanted.places(path, header.shape[0]))
    if len(places) * header.row_bytes > UNPACKED_BYTES:
        raise UserError(f"{path}: '{header.key}' is deflated, and {len(places)} clips take "
                        f"{len(places) * header.row_bytes >> 20} MiB; choose some with --index, or unpack it once: "
                        f"{archive.conversion_command(path)}")
    found: dict[int, np.ndarray] = {}
    for rows, block in archive.read_blocks(path, header.key):
        found |= {index: np.array(block[index - rows.start]) for index in places
                  if rows.start <= index < rows.start + len(block)}
        if len(found) == len(places):
            break
    return found


FORMAT = Format("archive of clips (.npz)", (".npz",), _looks_like, _read)
