"""From any NTU archive to the converted layout: float32 (N, C, T, V, M) and int64 class indices, in constant memory."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats import archive, layouts
from skeleton_lab.data.formats.about import read_about, write_about
from skeleton_lab.data.formats.layouts import CLASS_INDEX, CONVERTED, SplitHeader
from skeleton_lab.errors import UserError
from skeleton_lab.files import size_text

SAMPLED_CLIPS = 16

Item = TypeVar("Item")


def open_splits(path: Path) -> list[SplitHeader]:
    """Recognise the splits that an archive holds: NTU RGB+D's in either layout, or any skeleton's in the converted one.

    Raises:
        UserError: as `layouts.read_header`.
    """
    return [layouts.read_header(path, split, any_skeleton=True) for split in layouts.splits_of(path)]


def is_converted(header: SplitHeader) -> bool:
    """Return whether a split is already as `convert` would write it: mappable float32 clips in 5-D, class indices."""
    return (header.layout == CONVERTED and header.label_form == CLASS_INDEX and header.data.dtype == np.float32
            and not header.data.compressed and not header.label.compressed)


def convert(headers: Sequence[SplitHeader], labels: Sequence[np.ndarray], output: Path) -> list[str]:
    """Write splits to `output` in the converted layout, with a progress bar; return the clips without frames.

    Args:
        headers: the splits to read, of one archive: stored or deflated, any floating-point type, either layout.
        labels: their class indices (N,) int64, as `layouts.read_labels` gives them.

    Returns:
        "<split> <index>" for each clip whose values are all 0; they are kept.

    Raises:
        UserError: the input is damaged or holds a NaN or infinite value (the clip is named), or the disk is too full.
    """
    _require_space(headers, output)
    empty_clips = []
    about = read_about(headers[0].path)
    with archive.NpzWriter(output) as writer, tqdm(total=sum(header.num_clips for header in headers), unit=" clips",
                                                  disable=None) as progress:
        for header, split_labels in zip(headers, labels, strict=True):
            shape = (header.num_clips, *header.clip_shape)
            with writer.member(f"x_{header.split}", shape, np.float32) as sink:
                blocks = _ahead(archive.read_blocks(header.path, header.data.key))
                for clips, empty in _ahead(_converted(header, blocks)):
                    sink.append(clips)
                    empty_clips += empty
                    progress.update(len(clips))
            writer.write(f"y_{header.split}", split_labels)
        write_about(writer, about)
    return empty_clips


def _converted(header: SplitHeader, blocks: Iterator[tuple[slice, np.ndarray]]) -> Iterator[tuple[np.ndarray, list]]:
    """Yield (clips (n, C, T, V, M) float32, names of those without frames) for the blocks of a split."""
    for rows, block in blocks:
        clips = layouts.as_converted(block, header.layout)
        empty = []
        for index, _ in layouts.block_problems(clips):
            layouts.require_finite(clips[index], header.path, header.split, rows.start + index)
            empty.append(f"{header.split} {rows.start + index}")
        yield clips, empty


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the same items, each made by a thread while the one before it is being used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def holds_conversion(output: Path, headers: Sequence[SplitHeader], labels: Sequence[np.ndarray]) -> bool:
    """Return whether `output` is what `convert` would write: all labels are equal, and a sample of the clips is."""
    try:
        if read_about(output) != read_about(headers[0].path):
            return False
        for header, split_labels in zip(headers, labels, strict=True):
            there = layouts.read_header(output, header.split, any_skeleton=True)
            if (not is_converted(there) or (there.num_clips, there.clip_shape) != (header.num_clips, header.clip_shape)
                    or not np.array_equal(layouts.read_labels(there), split_labels)):
                return False
            mapped = archive.map_array(output, there.data.key)
            for index, clip in _sampled_clips(header):
                if not np.array_equal(layouts.as_converted(clip[None], header.layout)[0], mapped[index]):
                    return False
    except UserError:
        return False
    return True


def _sampled_clips(header: SplitHeader) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index, clip) for clips from start to end; of a deflated archive, only from the start."""
    if header.data.compressed:
        for _, block in archive.read_blocks(header.path, header.data.key):
            yield from enumerate(block)
            return
    elif header.num_clips:
        mapped = archive.map_array(header.path, header.data.key)
        for index in np.unique(np.linspace(0, header.num_clips - 1, SAMPLED_CLIPS, dtype=int)):
            yield int(index), mapped[index]


def _require_space(headers: Sequence[SplitHeader], output: Path) -> None:
    """Refuse to begin what the disk has no room for."""
    needed = sum(header.num_clips * math.prod(header.clip_shape) * 4 for header in headers)
    folder = next(parent for parent in output.resolve().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"{output}: needs {size_text(needed)} and {folder} has {size_text(free)} free; make room, "
                        "or write to another disk")
