#!/usr/bin/env python3
"""Write a trained model to a file that runs without this lab, and check that it computes the same.

    python3 export.py --run work_dir/ctrgcn_ntu60_xsub_joint --format onnx --output ctrgcn.onnx
    python3 export.py --run work_dir/msg3d_joint --format torch_export --output msg3d.pt2
    python3 export.py --run work_dir/pyskl_j --format pyskl --output j.pth

The file takes clips (N, C, T, V, M) float32, and what else the model takes, as the run's feeder gives them, and returns
logits (N, classes). N and T are left open where the model permits. With pyskl it is a checkpoint that PYSKL and
MMAction2 load. Not for preparing recordings: that is the feeder's part, see docs/export.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, read_early
from skeleton_lab.errors import UserError, run_command
from skeleton_lab.train.which import add_options


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    add_options(parser)
    parser.add_argument("--format", required=True, choices=("onnx", "torch_export", "pyskl"), help="the kind of file")
    parser.add_output("FILE")
    parser.add_argument("--frames", type=int, metavar="T", help="frames of the clips to trace and check with (default: "
                        "as the run's test clips, else 64)")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.export.export import TOLERANCE, example_for, export
from skeleton_lab.export.formats import LEAST_FRAMES, ONNX, TORCH_EXPORT, require
from skeleton_lab.files import claim_new, size_text
from skeleton_lab.foreign.exported import PYSKL, write_checkpoint
from skeleton_lab.nn.model import export_note_of
from skeleton_lab.train.trained import open_chosen

OTHER = {ONNX: "onnxruntime", TORCH_EXPORT: "torch.export.load"}


def main(options: argparse.Namespace) -> None:
    claim_new(options.output, options.overwrite)
    if options.frames is not None and options.frames < LEAST_FRAMES:
        raise UserError(f"--frames {options.frames}: is too few; give {LEAST_FRAMES} or more")
    if options.format != PYSKL:
        require(options.format)
    trained = open_chosen(options)
    if options.format == PYSKL:
        config = write_checkpoint(trained, options.output)
        print(f"{options.output}: {size_text(options.output.stat().st_size)}, a checkpoint for this network:\n{config}",
              end="")
        return
    example, found = export(trained, example_for(trained, options.frames), options.format, options.output)
    print(f"{options.output}: {size_text(options.output.stat().st_size)}, {trained.config.model} with the weights of "
          f"{trained.weights}")
    free = f"N and T ({LEAST_FRAMES} or more) are" if example.open_frames else "N is"
    inputs = ", ".join(f"{name} {example.shape(name)}" for name in example.axes)
    print(f"{inputs} float32 -> logits (N, {trained.num_classes}) float32; {free} open")
    print(f"{OTHER[options.format]} against this lab's model:")
    print(f"{'clips':>6} {'frames':>7} {'largest difference':>19} {'largest logit':>14}")
    for entry in found:
        print(f"{entry.clips:>6} {entry.frames:>7} {entry.largest:>19.1e} {entry.scale:>14.2f}")
    print(f"within {TOLERANCE:g} of the largest logit, or of 1")
    if note := export_note_of(trained.model):
        print(f"note: {note}")


if __name__ == "__main__":
    run_command(main, OPTIONS)
