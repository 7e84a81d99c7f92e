#!/usr/bin/env python3
"""Convert an annotation file of PYSKL or MMAction2, 2D or 3D, to an archive that training maps.

    python3 dataset_tools/convert_pyskl.py --input ntu60_hrnet.pkl --output ntu60_hrnet.npz

Keeps splits, names, scores and sizes of pictures, and the precision of the file. Nothing in the pickle is run. Takes
about as much memory as the pickle is large, which it says first. The result is for feeders.feeder_pyskl.Feeder, and
inspect_npz.py, view_skeleton.py and predict.py read it too. Not for: raw recordings (see README.md).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats.archive import NpzWriter
from skeleton_lab.data.formats.pose_clips import COLUMNS, SPLIT
from skeleton_lab.data.formats.pyskl_annotations import Annotations
from skeleton_lab.errors import UserError, run_command
from skeleton_lab.files import size_text


def main() -> None:
    options = read_options()
    if options.output.exists() and (options.output.resolve() == options.input.resolve() or not options.overwrite):
        raise UserError(f"{options.output}: exists; give another --output, or --overwrite to replace it (never the "
                        "input)")
    if options.input.is_file():
        print(f"{options.input}: {size_text(options.input.stat().st_size)}; takes about twice as much memory")
    annotations = Annotations(options.input, options.skeletons, options.least_box)
    table, sizes, dtype = survey(annotations)
    write(options.output, annotations, table, (sizes, dtype))
    print(f"{len(table)} clips of {table[:, 2].mean():.1f} frames on average, up to {table[:, 1].max()} person(s), "
          f"{sizes[0]} joints of {sizes[1]} coordinates{' and a score' if sizes[2] else ''}, {dtype}")
    for name, places in annotations.splits.items():
        print(f"split {name}: {len(places)} clips")
    print(f"wrote {options.output} ({size_text(options.output.stat().st_size)})")


def survey(annotations: Annotations) -> tuple[np.ndarray, tuple[int, int, bool], np.dtype]:
    """Look at every clip: return the table of clips, the joints, coordinates and scores they all have, the dtype."""
    table = np.zeros((len(annotations), len(COLUMNS)), np.int64)
    kinds: dict[tuple[int, int, bool], int] = {}
    dtype, row = np.dtype(np.float16), 0
    for place, clip in enumerate(tqdm(annotations, "looking", len(annotations), unit="clip", disable=None)):
        persons, frames, joints, coordinates = clip.keypoint.shape
        kinds.setdefault((joints, coordinates, clip.score is not None), place)
        table[place] = row, persons, frames, clip.label, *clip.size
        row += persons * frames
        if clip.keypoint.dtype != np.float16:
            dtype = np.dtype(np.float32)
    if len(kinds) > 1:
        (first, other), places = list(kinds)[:2], list(kinds.values())
        raise UserError(f"{annotations.path}: clip {places[1]} has {other[0]} joints of {other[1]} coordinates"
                        f"{' and a score' if other[2] else ''}, clip {places[0]} {first[0]} of {first[1]}"
                        f"{' and a score' if first[2] else ''}; convert them apart")
    return table, next(iter(kinds)), dtype


def write(path: Path, annotations: Annotations, table: np.ndarray,
          form: tuple[tuple[int, int, bool], np.dtype]) -> None:
    """Write the archive, array by array."""
    (joints, coordinates, scored), dtype = form
    rows = int((table[:, 1] * table[:, 2]).sum())
    present = np.zeros(rows, bool)
    with NpzWriter(path) as writer:
        with writer.member("keypoint", (rows, joints, coordinates), dtype) as sink:
            for first, clip in zip(table[:, 0], tqdm(annotations, "writing", len(table), unit="clip", disable=None),
                                   strict=True):
                block = clip.keypoint.reshape(-1, joints, coordinates).astype(dtype)
                present[first:first + len(block)] = (block != 0).any(axis=(1, 2))
                sink.append(block)
        if scored:
            with writer.member("keypoint_score", (rows, joints), dtype) as sink:
                for clip in annotations:
                    assert clip.score is not None
                    sink.append(clip.score.reshape(-1, joints).astype(dtype))
        writer.write("present", present)
        writer.write("clips", table)
        writer.write("names", np.array(annotations.names))
        for name, places in annotations.splits.items():
            writer.write(SPLIT + name, places)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, metavar="PKL", help="annotation file")
    parser.add_argument("--output", type=Path, required=True, metavar="NPZ", help="archive to write")
    parser.add_argument("--skeletons", type=Path, metavar="DIR", help="of Kinetics-400's compressed form: the folder "
                        "with <clip>.pkl of each (default: that of --input)")
    parser.add_argument("--least-box", type=float, default=0.0, metavar="SCORE", help="of that form: leave out "
                        "skeletons whose box scores less (default: none)")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
