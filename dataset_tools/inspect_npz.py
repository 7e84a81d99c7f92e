"""Say what an archive holds: keys, shapes, types, recognised layout, splits, labels. Also reads `.npy` and `.h5`.

    python3 dataset_tools/inspect_npz.py --path CTR-GCN/data/ntu/NTU60_CS.npz

Reads headers (and class-index labels, which are small), so it answers at once for any size. With --check it reads all
the data and exits with status 1 if there are NaN or infinite values, clips without frames, bad labels, or classes
without clips. It changes nothing: to convert, see convert_ntu60_kaggle_to_ctrgcn.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats import archive, layouts
from skeleton_lab.data.formats.class_indices import require_known
from skeleton_lab.errors import UserError, run_command
from skeleton_lab.files import size_text

DEFAULT_PATH = Path("/workspace/CTR-GCN/data/ntu/NTU60_CS.npz")
SHOWN_PROBLEMS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, default=DEFAULT_PATH, help=".npz, .npy or .h5 file (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--check", action="store_true", help="read all data and look for problems; status 1 if any")
    options = parser.parse_args()

    headers = archive.list_arrays(options.path)
    splits, unrecognised = read_splits(options.path, headers)
    report = describe(options.path, headers, splits)
    labels, problems = read_labels(splits, read_all=options.check)
    for split, split_labels in labels.items():
        report["splits"][split]["num_classes"] = num_classes(splits[split], labels.values())
        if options.check:
            report["splits"][split]["clips_per_class"] = np.bincount(split_labels[split_labels >= 0]).tolist()
    if options.check:
        problems += missing_classes(splits, labels) + bad_clips(options.path, headers)
        report["problems"] = problems
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_report(report, unrecognised)
        print_problems(problems, options.check)
    return 1 if problems else 0


def read_splits(path: Path, headers: dict[str, archive.ArrayHeader]) -> tuple[dict[str, layouts.SplitHeader], str]:
    """Return the splits that are recognised, and why another is not."""
    splits, reason = {}, ""
    if not set(headers) & set(layouts.KEYS):
        return {}, ""
    for split in layouts.SPLITS:
        try:
            splits[split] = layouts.read_header(path, split)
        except UserError as error:
            reason = reason or str(error).removeprefix(f"{path}: ")
    return splits, reason


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


def read_labels(splits: dict[str, layouts.SplitHeader], read_all: bool) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the class indices of splits (of those in one-hot form only if `read_all`), and what is wrong with them."""
    labels, problems = {}, []
    for split, header in splits.items():
        if read_all or header.label_form == layouts.CLASS_INDEX:
            try:
                labels[split] = layouts.read_labels(header, say=problems.append)
                if read_all and split == "train":
                    require_known(labels[split], f"'{header.label.key}'")
            except UserError as error:
                problems.append(f"{split}: {str(error).removeprefix(f'{header.path}: ')}")
    return labels, problems


def num_classes(header: layouts.SplitHeader, labels) -> int:
    """Return the number of one-hot columns, or one more than the highest class index of any split."""
    return header.num_classes or 1 + max((int(split.max()) for split in labels if len(split)), default=-1)


def missing_classes(splits: dict[str, layouts.SplitHeader], labels: dict[str, np.ndarray]) -> list[str]:
    problems = []
    for split, split_labels in labels.items():
        absent = np.setdiff1d(np.arange(num_classes(splits[split], labels.values())), split_labels)
        if len(absent):
            shown = ", ".join(map(str, absent[:10])) + (", ..." if len(absent) > 10 else "")
            problems.append(f"{split}: no clip of class {shown} ({len(absent)} of the classes)")
    return problems


def bad_clips(path: Path, headers: dict[str, archive.ArrayHeader]) -> list[str]:
    """Read the arrays that may hold clips (floating-point, three axes or more); return what is wrong with each clip."""
    problems = []
    candidates = [header for header in headers.values() if header.dtype.kind == "f" and len(header.shape) >= 3]
    with tqdm(total=sum(header.nbytes for header in candidates), unit="B", unit_scale=True, disable=None) as progress:
        for header in candidates:
            for rows, block in archive.read_blocks(path, header.key):
                problems += [f"{header.key or path.name}: clip {rows.start + index}: {problem}"
                             for index, problem in layouts.block_problems(block)]
                progress.update(block.nbytes)
    return problems


def print_report(report: dict, unrecognised: str) -> None:
    print(f"{report['path']}: .{report['kind']}, {size_text(report['file_bytes'])}\n")
    rows = [("array", "shape", "dtype", "size", "storage")]
    rows += [(a["key"] or "(unnamed)", str(tuple(a["shape"])), a["dtype"], size_text(a["bytes"]), a["storage"])
             for a in report["arrays"]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    shape = layouts.LAYOUT_SHAPES.get(report["layout"])
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


def print_problems(problems: list[str], checked: bool) -> None:
    for problem in problems[:SHOWN_PROBLEMS]:
        print(f"problem: {problem}")
    if len(problems) > SHOWN_PROBLEMS:
        print(f"... and {len(problems) - SHOWN_PROBLEMS} more")
    if checked and not problems:
        print("checked all data: no problems")


if __name__ == "__main__":
    run_command(main)
