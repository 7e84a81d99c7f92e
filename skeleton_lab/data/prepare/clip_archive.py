"""Clips of any skeleton to training files: CTR-GCN's converted layout, and MS-G3D's files.

A clip is (T, V, C) float32, one body, from its first frame with a body to its last. Two passes over the sources, so
that only one clip is in memory at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.about import About, write_about, write_beside
from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.data.formats.occupied import about_outliers
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.data.formats.small_sets import SmallSet, Source, centred, find_sources
from skeleton_lab.data.prepare.preparation import MISNAMED, Skipped, Summary
from skeleton_lab.errors import UserError
from skeleton_lab.files import claim

Read = Callable[[Source], np.ndarray]


def convert_as_asked(data_set: SmallSet, options: argparse.Namespace) -> None:
    """Run a converter as `skeleton_lab.data.prepare.options.read_convert_options` was told.

    Raises:
        UserError: bad input.
    """
    claim(options.output)
    summary = convert(data_set, options.input, options.output, options.msg3d, options.strict)
    print(f"{options.output}: {data_set.skeleton.name}, {len(data_set.actions)} classes")
    print(summary.text(jobs=1))


def convert(data_set: SmallSet, folder: Path, output: Path, msg3d_folder: Path | None = None,
            strict: bool = False) -> Summary:
    """Write a data set's clips to `output` (converted layout) and, if asked, MS-G3D's four files.

    Raises:
        UserError: nothing usable in `folder`, an output cannot be written; with `strict`, a damaged file.
    """
    if output.suffix != ".npz":
        raise UserError(f"{output}: give the archive a name that ends in .npz")
    sources, strangers = find_sources(data_set, folder)
    skipped = [Skipped(str(path), MISNAMED, f"{path}: is not named like {data_set.name}'s files; rename it or leave "
                       "it out") for path in strangers]
    summary = Summary(len(sources) + len(strangers), skipped=skipped)
    kept: list[Source] = []
    lengths: list[int] = []
    for source in tqdm(sources, unit="file", desc="checking"):
        try:
            lengths.append(len(read_clip(data_set, source.path)))
            kept.append(source)
        except UserError as error:
            summary.skipped.append(Skipped.because(str(source.path), error))
    if strict:
        summary.refuse_damage()
    if not kept:
        raise UserError(f"{folder}: no file is usable; the first: {summary.skipped[0].reason}")
    summary.add([], np.array(lengths))
    shape = (3, max(lengths), data_set.skeleton.num_joints, 1)  # (C, T, V, M)
    summary.remarks += filter(None, [about_outliers([source.path.name for source in kept], lengths)])
    parts = {part: [source for source in kept if source.is_train == (part == "train")] for part in ("train", "test")}
    summary.remarks += [f"{output}: holds no {name} clips, by the customary protocol of {data_set.name}"
                        for part, name in (("train", "training"), ("test", "test")) if not parts[part]]

    def read(source: Source) -> np.ndarray:
        return read_clip(data_set, source.path)

    about = About(data_set.class_names, data_set.skeleton, data_set.fps,
                  {part: tuple(source.path.stem for source in sources) for part, sources in parts.items()})
    _write_archive(output, parts, shape, read, about)
    if msg3d_folder is not None:
        for part, name in (("train", "train"), ("test", "val")):
            _write_msg3d(msg3d_folder, name, parts[part], shape, read)
            write_beside(msg3d_folder / f"{name}_label.pkl", about)
    return summary


def read_clip(data_set: SmallSet, path: Path) -> np.ndarray:
    """Read one file of a set: (T, V, C) float32, from the first frame with a body to the last, see `centred`.

    Raises:
        UserError: the file is damaged, or another set's.
        NothingToSee: there is nobody in it.
    """
    recording = open_recordings(path)[0]
    if recording.skeleton is not data_set.skeleton:
        raise UserError(f"{path}: its skeleton is {recording.known_skeleton().name}, not {data_set.skeleton.name}; "
                        f"give the folder of {data_set.name}'s files")
    return centred(recording.frames[:, 0], recording.centre, str(path))


def _write_archive(path: Path, parts: dict[str, list[Source]], shape: tuple[int, ...], read: Read,
                   about: About) -> None:
    """Write x (N, C, T, V, M) float32, zeros behind a clip's last frame, and y (N,) int64."""
    with archive.NpzWriter(path) as writer, tqdm(total=sum(map(len, parts.values())), unit="clip",
                                                 desc=path.name) as progress:
        for part, sources in parts.items():
            with writer.member(f"x_{part}", (len(sources), *shape), np.float32) as sink:
                for source in sources:
                    clip = read(source)
                    block = np.zeros((1, *shape), np.float32)
                    block[0, :, :len(clip), :, 0] = clip.transpose(2, 0, 1)  # (T, V, C) -> (C, T, V)
                    sink.append(block)
                    progress.update()
            writer.write(f"y_{part}", np.array([source.label for source in sources], np.int64))
        write_about(writer, about)


def _write_msg3d(folder: Path, part: str, sources: Sequence[Source], shape: tuple[int, ...], read: Read) -> None:
    """Write MS-G3D's data and label files; a clip's frames repeat to the end, as in its NTU files."""
    with archive.create_npy(folder / f"{part}_data_joint.npy", (len(sources), *shape), np.float32) as sink:
        for source in tqdm(sources, unit="clip", desc=f"{part}_data_joint.npy"):
            clip = read(source)
            repeated = clip[np.arange(shape[1]) % len(clip)].transpose(2, 0, 1)  # (C, T, V)
            sink.append(np.ascontiguousarray(repeated)[None, ..., None])
    write_labels(folder / f"{part}_label.pkl", [source.path.name for source in sources],
                 [source.label for source in sources])
