"""Check a file of descriptors against the data set that it is for: is each sample's there, and usable?

    python3 dataset_tools/check_descriptors.py --descriptors clip.h5 --data CTR-GCN/data/ntu/NTU60_CS.npz
    python3 dataset_tools/check_descriptors.py --descriptors clip.h5 --data MS-G3D/data/ntu/xsub/*_label.pkl

Reads all of the data set's descriptors: names, shapes, types, NaN. Exits with status 2 and one line if a training with
them would stop; arrays of the file that no sample asks for are told, and no fault. It changes nothing. What the file
should look like: docs/fusion.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--descriptors", type=input_path, required=True, metavar="H5", help="the file to check")
    parser.add_argument("--input", "--data", dest="data", type=input_path, nargs="+", required=True, metavar="PATH",
                        help="archives (.npz), label pickles of MS-G3D, or the folder of NW-UCLA's recordings")
    parser.add_argument("--split", choices=("train", "test"), help="check one split of an archive only (default: both)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

from tqdm import tqdm

from skeleton_lab.data.feeders.samples import read_samples
from skeleton_lab.data.formats.descriptors import Descriptors, key_of, listed

SHOWN_PROBLEMS = 20


def main(options: argparse.Namespace) -> int:
    samples = {path: chosen_names(path, options.split) for path in options.data}
    names = [key_of(name) for some in samples.values() for name in some]
    descriptors = Descriptors(options.descriptors)
    report = examine(descriptors, names)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_report(report)
    if report["missing"]:
        descriptors.require(names, " and ".join(map(str, options.data)))
    if report["unusable"]:
        first = next(iter(report["unusable"].values()))
        raise UserError(f"{options.descriptors}: {len(report['unusable'])} of {len(names)} descriptors cannot be used, "
                        f"first: {first}; write these anew")
    return 0


def chosen_names(path: Path, split: str | None) -> list[str]:
    """Return the names of a data set's samples, of one split or of all."""
    splits = read_samples(path)
    if split and split not in splits:
        raise UserError(f"{path}: has no split '{split}', only {', '.join(splits)}; leave --split out")
    return [name for key, samples in splits.items() if split in (None, key) for name in samples.names]


def examine(descriptors: Descriptors, names: list[str]) -> dict:
    """Read the descriptors of `names`; return what was found, ready for JSON."""
    there, wanted = set(descriptors.names()), dict.fromkeys(names)
    shapes, dtypes, unusable = {}, {}, {}
    for name in tqdm([name for name in wanted if name in there], unit=" samples", disable=None):
        try:
            descriptors.read(name)
            shape, dtype = descriptors.form(name)
        except UserError as error:
            unusable[name] = str(error).removeprefix(f"{descriptors.path}: ")
            continue
        shapes[str(shape)] = shapes.get(str(shape), 0) + 1
        dtypes[dtype] = dtypes.get(dtype, 0) + 1
    return {"path": str(descriptors.path), "width": descriptors.width, "samples": len(wanted),
            "usable": sum(shapes.values()), "missing": [name for name in wanted if name not in there],
            "unusable": unusable, "surplus": sorted(there - set(wanted)), "shapes": shapes, "dtypes": dtypes}


def print_report(report: dict) -> None:
    print(f"{report['path']}: {report['usable']} of {report['samples']} samples have a descriptor of {report['width']} "
          "numbers")
    for what in ("shapes", "dtypes"):
        counts = sorted(report[what].items(), key=lambda item: -item[1])
        print(f"{what}: " + ", ".join(f"{value} x {count}" for value, count in counts[:8])
              + (f" and {len(counts) - 8} more" if len(counts) > 8 else ""))
    for what in ("missing", "surplus"):
        if report[what]:
            print(f"{what}: {len(report[what])} ({listed(report[what])})")
    for problem in list(report["unusable"].values())[:SHOWN_PROBLEMS]:
        print(f"problem: {problem}")
    if len(report["unusable"]) > SHOWN_PROBLEMS:
        print(f"... and {len(report['unusable']) - SHOWN_PROBLEMS} more")


if __name__ == "__main__":
    run_command(main, OPTIONS)
