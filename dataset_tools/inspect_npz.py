"""Say what an archive holds: keys, shapes, types, recognised layout, splits, labels. Also reads `.npy` and `.h5`.

    python3 dataset_tools/inspect_npz.py CTR-GCN/data/ntu/NTU60_CS.npz

Reads headers (and class-index labels, which are small), so it answers at once for any size. With --check it reads all
the data and says what the readers will say: status 1 if there are problems, such as NaN, clips without frames, types or
labels that are refused. Notes are no problems: classes without clips, labels that begin at 1, clips far longer than the
others. It changes nothing: to convert, see convert_ntu60_kaggle_to_ctrgcn.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, read_early, require_path
from skeleton_lab.errors import run_command

DEFAULT_PATH = Path("/workspace/CTR-GCN/data/ntu/NTU60_CS.npz")


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_input("path", f".npz, .npy or .h5 file (default: {DEFAULT_PATH})", "--path", required=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--check", action="store_true", help="read all data and look for problems; status 1 if any")
    options = parser.parse_args()
    if options.path is None:
        options.path = DEFAULT_PATH
        require_path(options.path, "the file's path")
    return options


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats import archive, archive_check, layouts
from skeleton_lab.data.formats.archive_check import Findings, num_classes, read_labels, read_splits
from skeleton_lab.files import size_text

SHOWN_LINES = 20


def main(options: argparse.Namespace) -> int:
    headers = archive.list_arrays(options.path)
    splits, complaints = read_splits(options.path, headers)
    report, findings = describe(options.path, headers, splits), Findings()
    labels = read_labels(splits, findings, read_all=options.check)
    for split, split_labels in labels.items():
        report["splits"][split]["num_classes"] = num_classes(splits[split], labels)
        if options.check:
            report["splits"][split]["clips_per_class"] = np.bincount(split_labels[split_labels >= 0]).tolist()
    if options.check:
        check(options.path, headers, splits, complaints, labels, findings)
        report |= {"problems": findings.problems, "notes": findings.notes}
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_report(report, next(iter(complaints.values()), ""))
        print_lines("problem", findings.problems)
        print_lines("note", findings.notes)
        if options.check and not findings.problems:
            print("checked all data: no problems")
    return 1 if findings.problems else 0


def check(path: Path, headers: dict[str, archive.ArrayHeader], splits: dict[str, layouts.SplitHeader],
          complaints: dict[str, str], labels: dict[str, np.ndarray], findings: Findings) -> None:
    """Read all data and add what is wrong with it, or worth to know."""
    archive_check.check_splits(path, headers, splits, complaints, findings)
    archive_check.check_classes(splits, labels, findings)
    total = sum(header.nbytes for header in archive_check.candidates(headers))
    with tqdm(total=total, unit="B", unit_scale=True, disable=None) as progress:
        archive_check.check_clips(path, headers, splits, findings, progress.update)


def describe(path: Path, headers: dict[str, archive.ArrayHeader], splits: dict[str, layouts.SplitHeader]) -> dict:
    """Return what the headers say, ready for JSON."""
    by_shape = {layouts.layout_of(header.shape) for header in headers.values()} - {None}
    found = {header.layout for header in splits.values()} or by_shape
    return {
        "path": str(path), "kind": archive.kind_of(path), "file_bytes": path.stat().st_size,
        "arrays": [{"key": header.key, "shape": list(header.shape), "dtype": str(header.dtype), "bytes": header.nbytes,
                    "storage": storage(header)} for header in headers.values()],
        "layout": found.pop() if len(found) == 1 else "mixed" if found else None,
        "splits": {split: {"num_clips": header.num_clips, "num_frames": header.num_frames, "layout": header.layout,
                           "label_form": header.label_form, "num_classes": header.num_classes}
                   for split, header in splits.items()},
    }


def storage(header: archive.ArrayHeader) -> str:
    if header.compressed:
        return "deflated"
    return "in pieces" if header.offset is None else "stored"


def print_report(report: dict, unrecognised: str) -> None:
    print(f"{report['path']}: .{report['kind']}, {size_text(report['file_bytes'])}\n")
    rows = [("array", "shape", "dtype", "size", "storage")]
    rows += [(a["key"] or "(unnamed)", str(tuple(a["shape"])), a["dtype"], size_text(a["bytes"]), a["storage"])
             for a in report["arrays"]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    shapes = [tuple(a["shape"]) for a in report["arrays"] if a["key"].startswith("x_")]
    own = all(layouts.layout_of(shape) is None for shape in shapes)
    shape = "(N, C, T, V, M) of another skeleton" if shapes and own else layouts.LAYOUT_SHAPES.get(report["layout"])
    if any(a["key"].startswith("tracks_") for a in report["arrays"]):
        print("\nlayout: packed, rows (R, V*C)")
    else:
        print(f"\nlayout: {report['layout'] or 'not recognised'}{f', clips {shape}' if shape else ''}")
    if unrecognised:
        print(f"  {unrecognised}")
    for split, found in report["splits"].items():
        classes = f", {class_text(found['num_classes'], found.get('clips_per_class'))}" if found["num_classes"] else ""
        print(f"{split}: {found['num_clips']} clips of {found['num_frames']} frames, labels: {found['label_form']}"
              f"{classes}")
    if report["splits"] and any(a["storage"] == "deflated" for a in report["arrays"]):
        print(f"deflated arrays cannot be mapped; unpack them once: {archive.conversion_command(report['path'])}")


def class_text(num_classes: int, clips_per_class: list[int] | None) -> str:
    """Say how many classes there are, and, where that was counted, how many clips they have."""
    counts = [count for count in clips_per_class or () if count]
    if not counts:
        return f"{num_classes} classes"
    clips = f"{min(counts)} to {max(counts)} clips" if max(counts) > min(counts) else f"{max(counts)} clips each"
    return f"{num_classes} classes{' of' if len(counts) == num_classes else f', of which {len(counts)} have'} {clips}"


def print_lines(kind: str, lines: list[str]) -> None:
    for line in lines[:SHOWN_LINES]:
        print(f"{kind}: {line}")
    if len(lines) > SHOWN_LINES:
        print(f"... and {len(lines) - SHOWN_LINES} more")


if __name__ == "__main__":
    run_command(main, OPTIONS)
