"""Pack an NTU archive: leave out zero padding and absent bodies. CTR-GCN's feeder reads the result as it is.

    python3 dataset_tools/pack_npz.py --input CTR-GCN/data/ntu/NTU60_CS.npz     # writes NTU60_CS_packed.npz beside it

NTU-60 shrinks from 10 GB to about 1.6 GB: it then stays in the memory of an ordinary computer as file cache, or on a
small disk. The clips that the feeder serves are the same, bit for bit. Reads both layouts, twice from front to back in
constant memory; the output appears whole or not at all. For scores with CTR-GCN's ensemble.py, and for all other tools,
keep the original.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", type=input_path, required=True, metavar="NPZ",
                        help="archive with x_train and y_train, x_test and y_test, or some of them, in either layout")
    parser.add_output("NPZ", "archive to write (default: <input name>_packed.npz beside the input)", required=False)
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats import archive, layouts
from skeleton_lab.data.formats.about import read_about, write_about
from skeleton_lab.data.formats.layouts import NUM_BODIES, SplitHeader
from skeleton_lab.data.formats.packed import ABSENT, ROW_VALUES, is_packed, occupancy
from skeleton_lab.files import claim_new, size_text


def main(options: argparse.Namespace) -> None:
    source, output = options.input, options.output or options.input.with_name(f"{options.input.stem}_packed.npz")
    claim_new(output, options.overwrite, source=source)
    splits = layouts.splits_of(source)
    if any(is_packed(source, split) for split in splits):
        raise UserError(f"{source}: is packed already; nothing to do")
    headers = [layouts.read_header(source, split) for split in splits]
    with tqdm(total=2 * sum(header.data.nbytes for header in headers), unit="B", unit_scale=True,
              disable=None) as progress:
        tracks = [place_tracks(header, progress) for header in headers]
        with archive.NpzWriter(output) as writer:
            for header, places in zip(headers, tracks, strict=True):
                write_rows(header, places, writer, progress)
                writer.write(f"tracks_{header.split}", places)
                write_labels(header, writer)
            write_about(writer, read_about(source))
    for header, places in zip(headers, tracks, strict=True):
        two_bodies = (places[:, 1:] != ABSENT).all(axis=1).mean()
        print(f"{header.split}: {len(places)} clips of {places[:, 0].mean():.1f} frames on average (of "
              f"{header.num_frames}), {two_bodies:.0%} with two bodies")
    print(f"wrote {output} ({size_text(output.stat().st_size)} of {size_text(source.stat().st_size)})")


def place_tracks(header: SplitHeader, progress: tqdm) -> np.ndarray:
    """Return (N, 1 + M) int64: each clip's number of frames, and the row at which each of its bodies will begin."""
    tracks = np.full((header.num_clips, 1 + NUM_BODIES), ABSENT, np.int64)
    num_rows = 0
    for rows, block in archive.read_blocks(header.path, header.data.key):
        for index, clip in enumerate(block, start=rows.start):
            layouts.require_finite(clip, header.path, header.split, index)
            occupied = occupancy(clip, header.layout)  # (T, M)
            length = int(occupied.any(axis=1).sum())
            tracks[index, 0] = length
            for body in np.flatnonzero(occupied[:length].any(axis=0)):
                tracks[index, 1 + body] = num_rows
                num_rows += length
        progress.update(block.nbytes)
    return tracks


def write_rows(header: SplitHeader, tracks: np.ndarray, writer: archive.NpzWriter, progress: tqdm) -> None:
    """Write the valid frames of the bodies that are there, (R, V*C) float32."""
    num_rows = int((tracks[:, 0] * (tracks[:, 1:] != ABSENT).sum(axis=1)).sum())
    with writer.member(f"x_{header.split}", (num_rows, ROW_VALUES), np.float32) as sink:
        for rows, block in archive.read_blocks(header.path, header.data.key):
            frames = layouts.as_frames(block, header.layout)  # (n, T, M, V, C)
            kept = [clip[:length, body].reshape(-1, ROW_VALUES)
                    for clip, (length, *first_rows) in zip(frames, tracks[rows], strict=True)
                    for body, first in enumerate(first_rows) if first != ABSENT]
            if kept:
                sink.append(np.concatenate(kept, dtype=np.float32, casting="same_kind"))
            progress.update(block.nbytes)


def write_labels(header: SplitHeader, writer: archive.NpzWriter) -> None:
    """Copy the labels in the form in which they are, after a look at each."""
    layouts.read_labels(header)
    with writer.member(header.label.key, header.label.shape, header.label.dtype) as sink:
        for _, block in archive.read_blocks(header.path, header.label.key):
            sink.append(block)


if __name__ == "__main__":
    run_command(main, OPTIONS)
