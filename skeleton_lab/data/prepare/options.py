"""Options that the commands of data preparation share; nothing here is slow to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from skeleton_lab.command.options import Parser, input_path
from skeleton_lab.command.processors import usable_cores


def add_jobs_option(parser: argparse.ArgumentParser) -> None:
    """Add `--jobs` (and upstream's `--n_cores`)."""
    parser.add_argument("--jobs", "--n_cores", "--n-cores", type=int, default=usable_cores(), metavar="N",
                        help="worker processes (default: all %(default)s cores)")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add `--jobs` and `--strict`."""
    add_jobs_option(parser)
    parser.add_argument("--strict", action="store_true",
                        help="stop at the first damaged or misnamed recording instead of skipping it")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add where recordings are read from."""
    parser.add_argument("--input", "--skeletons", dest="skeletons", type=input_path, nargs="+", metavar="DIR",
                        help="folders of .skeleton files (default: nturgb+d_skeletons, and for NTU120 also "
                             "nturgb+d_skeletons120, in ../nturgbd_raw or in data/nturgbd_raw of the checkout)")
    parser.add_argument("--missing-list", "--ignored-sample-path", "--ignored_sample_path", type=input_path,
                        metavar="FILE",
                        help="official list of samples with missing skeletons, left out (default: looked for beside "
                             "the skeleton folders)")


def read_step_options(description: str | None, here: Path, reads_recordings: bool) -> argparse.Namespace:
    """Read the command line of one step of CTR-GCN's preparation; results go to `here` unless it says otherwise."""
    parser = Parser(description)
    if reads_recordings:
        add_source_options(parser)
    parser.add_argument("--output", "--out-folder", "--out_folder", dest="out_folder", type=Path, default=here,
                        metavar="DIR", help="where results go (default: this script's folder)")
    add_run_options(parser)
    return parser.parse_args()


def read_convert_options(description: str | None, data_set: str) -> argparse.Namespace:
    """Read the command line of a converter of the small data set with this name."""
    parser = Parser(description)
    parser.add_argument("--input", type=input_path, required=True, metavar="DIR", help=f"folder of {data_set}'s files")
    parser.add_argument("--output", type=Path, required=True, metavar="NPZ", help="archive to write for CTR-GCN")
    parser.add_argument("--msg3d", type=Path, metavar="DIR", help="folder to write MS-G3D's files to as well")
    parser.add_argument("--strict", action="store_true", help="stop at the first damaged file instead of skipping it")
    return parser.parse_args()
