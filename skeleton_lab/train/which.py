"""Which trained model a command opens: its options, which are read before PyTorch loads."""

from __future__ import annotations

import argparse
from pathlib import Path

from skeleton_lab.command.options import input_path
from skeleton_lab.train.flags import RUNTIMES, TORCH


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model to open; `skeleton_lab.train.trained.open_chosen` reads them."""
    parser.add_argument("--run", type=input_path, metavar="DIR", help="work directory of a training: its "
                        "config.yaml and its best.pt, or else its newest weights")
    parser.add_argument("--config", type=input_path, metavar="FILE",
                        help="config instead of the run's; needs --weights")
    parser.add_argument("--weights", type=Path, metavar="FILE",
                        help="weights instead of the run's: of this lab or as published, such as runs-64-40064.pt")
    parser.add_argument("--tree", type=input_path, metavar="DIR", help="folder of the model's main.py (default: as "
                        "run.json says, or else the one in this checkout that has the config's model)")


def add_runtime_option(parser: argparse.ArgumentParser) -> None:
    """Add what computes the model, for `skeleton_lab.export.runtime.network_for`."""
    parser.add_argument("--runtime", choices=RUNTIMES, default=TORCH, help="what computes the model on the CPU: "
                        "PyTorch, or another runtime from an export beside the weights, checked against PyTorch on the "
                        "first batch; auto: the fastest here (default: %(default)s)")
