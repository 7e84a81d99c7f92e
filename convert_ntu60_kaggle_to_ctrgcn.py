"""Convert the Kaggle NTU archive, x (N, T, 150) and one-hot y, to x (N, C, T, V, M) float32 and class indices.

    python3 convert_ntu60_kaggle_to_ctrgcn.py --input CTR-GCN/data/ntu/NTU60_CS.npz

It streams on the CPU: under 100 MiB of memory for an archive of any size, a progress bar, and an output that appears
whole or not at all. Deflated archives (numpy.savez_compressed), other floating-point types, 5-D archives with one-hot
labels or of other skeletons, and archives of one split are read as well; names of classes and clips are kept.
CTR-GCN's feeder and the bridge to MS-G3D read both layouts: this is not needed for
them, but for tools that want the 5-D layout, and for archives that cannot be mapped as they are.

After exit status 0 the output is there, so the command may be run again:
- an output that already holds this input's clips and labels is left alone, and that is said;
- an input that is already in the output's layout is not converted again: it gets the output's name as a second one
  (a hard link; a copy where that cannot be), and that is said;
- any other existing output is replaced only with --overwrite.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", type=input_path, required=True, metavar="NPZ",
                        help="archive with x_train and y_train, x_test and y_test, or one of the two")
    parser.add_argument("--output", type=Path, metavar="NPZ",
                        help="archive to write (default: <input name>_ctrgcn.npz beside the input)")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that holds something else")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np

from skeleton_lab.data.formats import layouts
from skeleton_lab.data.prepare import conversion
from skeleton_lab.files import claim, size_text


def main(options: argparse.Namespace) -> None:
    source, output = options.input, options.output or options.input.with_name(f"{options.input.stem}_ctrgcn.npz")
    claim(output)
    headers = conversion.open_splits(source)
    converted = all(conversion.is_converted(header) for header in headers)
    same_file = output.exists() and output.samefile(source)
    if output.is_dir():
        raise UserError(f"{output}: is a folder; name the file to write")
    if same_file and not converted:
        raise UserError(f"{output}: is the input itself, which stays as it is; give another --output")
    labels = [layouts.read_labels(header) for header in headers]
    if converted:
        print(f"{source} is already converted, clips (C, T, V, M) = {headers[0].clip_shape} with class indices: "
              "nothing to do")
        if not same_file and not output.exists() and link(source, output):
            print(f"{output} is now a second name of that file (a hard link, no copy)")
            return
    if same_file:
        return
    if output.exists() and not options.overwrite:
        if not conversion.holds_conversion(output, headers, labels):
            raise UserError(f"{output}: exists and is not the conversion of {source}; give another --output, or "
                            "--overwrite to replace it")
        print(f"{output} already holds these clips and labels: left as it is")
        return
    empty_clips = conversion.convert(headers, labels, output)
    report(headers, labels, empty_clips)
    print(f"wrote {output} ({size_text(output.stat().st_size)})")


def link(source: Path, output: Path) -> bool:
    """Give `source` the further name `output`; return False where the file systems do not allow it."""
    with suppress(OSError):
        output.parent.mkdir(parents=True, exist_ok=True)
        os.link(source.resolve(), output)
        return True
    return False


def report(headers: list[layouts.SplitHeader], labels: list[np.ndarray], empty_clips: list[str]) -> None:
    for header, split_labels in zip(headers, labels, strict=True):
        print(f"{header.split}: {header.num_clips} clips of {header.num_frames} frames, "
              f"{len(np.unique(split_labels[split_labels >= 0]))} classes")
    if empty_clips:
        shown = ", ".join(empty_clips[:5]) + (", ..." if len(empty_clips) > 5 else "")
        print(f"note: {len(empty_clips)} clips have no frames (all values are 0): {shown}")


if __name__ == "__main__":
    run_command(main, OPTIONS)
