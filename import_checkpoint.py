#!/usr/bin/env python3
"""Turn a checkpoint of PYSKL or MMAction2 into a work directory that every command here takes with --run.

    python3 import_checkpoint.py --input j.pth --output work_dir/pyskl_j
    python3 import_checkpoint.py --input j.pth --output work_dir/pyskl_j --config j.py

Takes CTR-GCN, MS-G3D and ST-GCN++ of 25, 17, 18 or 21 joints, and ProtoGCN. What it is is read off its tensors;
--config, their own config file, settles what tensors cannot tell: clip length, features, data. Nothing in either file
is run. The outputs are the same; docs/models.md lists the weights that can be downloaded. Not for: weights of this lab
or of the papers' own code, which --weights takes as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", required=True, type=input_path, metavar="FILE", help="the checkpoint, .pth")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="work directory to make")
    parser.add_argument("--config", type=input_path, metavar="FILE", help="their config of it, .py: read, not run "
                        "(default: the one that the checkpoint carries, if any)")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from skeleton_lab.foreign.checkpoint_file import read_checkpoint
from skeleton_lab.foreign.config_file import parse_config, read_config
from skeleton_lab.foreign.imported import data_of, recognised, told_by, write_work_dir


def main(options: argparse.Namespace) -> None:
    if options.output.exists() and (not options.output.is_dir() or any(options.output.iterdir())):
        raise UserError(f"{options.output}: exists; choose another --output")
    checkpoint = read_checkpoint(options.input)
    config = read_config(options.config) if options.config else own_config(checkpoint.config, options.input)
    imported = recognised(options.input, checkpoint, told_by(config))
    data = data_of(imported.network, config, checkpoint.of_mmaction2)
    model = write_work_dir(options.output, options.input, checkpoint, imported, data)
    args = imported.network.args
    print(f"{options.output}: {imported.tree.name}'s {imported.network.model}, "
          f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters, {args['num_class']} classes, "
          f"{args['num_point']} joints of {args['in_channels']} coordinates, {args['num_person']} person(s)")
    said = "as the config says" if config else "as is usual; --config would tell"
    print(f"clips: {data.options['clip_len']} frames, features {'+'.join(data.options['feats'])}, {data.test_clips} of "
          f"each for testing, {said}")
    print(f"test: cd {imported.tree.name}; python3 main.py --config {options.output.absolute()}/config.yaml --phase "
          f"test --weights {options.output.absolute()}/best.pt --test-feeder-args data_path=FILE.npz")


def own_config(text: str, source: Path) -> dict:
    """Return the config that a checkpoint carries; none where it cannot be read."""
    try:
        return parse_config(text, str(source)) if text else {}
    except UserError as error:
        print(f"the config in it is not used: {error}", file=sys.stderr)
        return {}


if __name__ == "__main__":
    run_command(main, OPTIONS)
