"""What the readers will say of an archive: problems, which some reader refuses or gets wrong, and notes.

One look at all data, in constant memory. The labels and the layouts are told by the very functions that read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats import archive, layouts, packed
from skeleton_lab.data.formats.archive import ArrayHeader
from skeleton_lab.data.formats.class_indices import require_known
from skeleton_lab.data.formats.layouts import CONVERTED, KAGGLE, SPLITS, VALIDATION, SplitHeader
from skeleton_lab.data.formats.occupied import about_outliers, first_and_stop
from skeleton_lab.errors import UserError
from skeleton_lab.metrics import NOT_KNOWN

MOST_NAMED = 10


@dataclass
class Findings:
    """Lines about an archive: what some reader refuses or gets wrong, and what is good to know."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def say(self, path: Path) -> Callable[[str], None]:
        """Return what takes a reader's line about the file as a note."""
        return lambda line: self.notes.append(line.removeprefix(f"{path}: "))


def read_splits(path: Path, headers: dict[str, ArrayHeader]) -> tuple[dict[str, SplitHeader], dict[str, str]]:
    """Return the splits that are recognised, of any skeleton, and for the others that are there what is wrong."""
    splits, complaints = {}, {}
    for split in _splits_to_read(headers):
        try:
            splits[split] = layouts.read_header(path, split, any_skeleton=True)
        except UserError as error:
            complaints[split] = str(error).removeprefix(f"{path}: ")
    return splits, complaints


def _splits_to_read(headers: dict[str, ArrayHeader]) -> tuple[str, ...]:
    """Return train and test if an archive has anything of these two, and val if it has that."""
    main = SPLITS if set(headers) & set(layouts.KEYS) else ()
    return (*main, VALIDATION) if {f"x_{VALIDATION}", f"y_{VALIDATION}"} & set(headers) else main


def read_labels(splits: dict[str, SplitHeader], findings: Findings, read_all: bool) -> dict[str, np.ndarray]:
    """Return the class indices of splits, of those in one-hot form only if `read_all`; add to `findings`."""
    labels = {}
    for split, header in splits.items():
        if not read_all and header.label_form == layouts.ONE_HOT:
            continue
        try:
            labels[split] = layouts.read_labels(header, say=findings.say(header.path))
            if split == "train":
                require_known(labels[split], f"'{header.label.key}'")
        except UserError as error:
            findings.problems.append(f"{split}: {str(error).removeprefix(f'{header.path}: ')}")
        else:
            if unknown := int((labels[split] == NOT_KNOWN).sum()):
                findings.notes.append(f"{split}: the class of {unknown} of {len(labels[split])} clips is not known "
                                      "(-1): they are tested and predicted without a truth")
    return labels


def num_classes(header: SplitHeader, labels: dict[str, np.ndarray]) -> int:
    """Return the number of one-hot columns, or one more than the highest class index of any split."""
    return header.num_classes or 1 + max((int(split.max()) for split in labels.values() if len(split)), default=-1)


def check_splits(path: Path, headers: dict[str, ArrayHeader], splits: dict[str, SplitHeader],
                 complaints: dict[str, str], findings: Findings) -> None:
    """Add what the readers say of each split's arrays, told by their headers."""
    for split, complaint in complaints.items():
        x, y = f"x_{split}", f"y_{split}"
        if f"tracks_{split}" in headers:
            try:
                packed.open_packed(path, split, say=findings.say(path))
            except UserError as error:
                findings.problems.append(f"{split}: {str(error).removeprefix(f'{path}: ')}")
        elif x in headers and y not in headers:
            findings.notes.append(f"{split}: no '{y}': its clips can be predicted, not trained on or tested")
        elif x in headers or y in headers:
            findings.problems.append(f"{split}: {complaint}")
        else:
            findings.notes.append(f"{split}: there is no such split")
    for split, header in splits.items():
        if not header.num_clips:
            findings.notes.append(f"{split}: holds no clips")
        if _is_own(header.data) and header.data.dtype != np.float32:
            findings.problems.append(f"{split}: '{header.data.key}' is {header.data.dtype}; clips of one's own "
                                     "skeletons are float32: save them with x.astype(numpy.float32)")
    if "" in headers and headers[""].dtype.kind != "f" and len(headers[""].shape) in (3, 5):
        findings.problems.append(f"clips are {headers[''].dtype}; the readers take floating-point ones")


def check_classes(splits: dict[str, SplitHeader], labels: dict[str, np.ndarray], findings: Findings) -> None:
    """Note the classes without a clip."""
    for split, split_labels in labels.items():
        absent = np.setdiff1d(np.arange(num_classes(splits[split], labels)), split_labels)
        if len(absent) and len(split_labels):
            findings.notes.append(f"{split}: no clip of class {_some(absent)} ({len(absent)} of the classes)")


def check_clips(path: Path, headers: dict[str, ArrayHeader], splits: dict[str, SplitHeader], findings: Findings,
                progress: Callable[[int], object]) -> None:
    """Read the arrays that may hold clips (floating-point, three axes or more) and add what is wrong with each clip.

    progress: is told how many bytes have been read.
    """
    layout_of = {header.data.key: header.layout for header in splits.values()}
    for header in candidates(headers):
        key, layout = header.key, layout_of.get(header.key)
        own = _is_own(header)
        if layout is None and key == "":
            layout = layouts.layout_of(header.shape) or (CONVERTED if own else None)
        lengths, gaps = [], []
        for rows, block in archive.read_blocks(path, key):
            findings.problems += [f"{key or path.name}: clip {rows.start + index}: {problem}"
                                  for index, problem in layouts.block_problems(block)]
            if layout is not None:
                used = np.asarray(block.any(axis=2) if layout == KAGGLE else block.any(axis=(1, 3, 4)))  # (n, T)
                first, stop = first_and_stop(used)
                gaps += (rows.start + np.flatnonzero(used.sum(axis=1) != stop)).tolist()
                lengths += (stop - first).tolist()
            progress(block.nbytes)
        _add_gaps(key or path.name, gaps, own or key == "", findings)
        if own and (line := about_outliers([f"clip {row}" for row in range(len(lengths))], lengths)):
            findings.notes.append(f"{key or path.name}: {line}")


def candidates(headers: dict[str, ArrayHeader]) -> list[ArrayHeader]:
    """Return the arrays that may hold clips with something in them."""
    return [header for header in headers.values() if header.dtype.kind == "f" and len(header.shape) >= 3
            and 0 not in header.shape]


def _is_own(header: ArrayHeader) -> bool:
    """Whether clips are (N, C, T, V, M) of another skeleton than NTU RGB+D's."""
    return len(header.shape) == 5 and layouts.layout_of(header.shape) is None


def _add_gaps(name: str, gaps: list[int], harmless: bool, findings: Findings) -> None:
    """Add the clips with empty frames before their last one: NTU RGB+D's feeders take those for frames at the end."""
    if harmless:
        findings.notes += [f"{name}: clips with empty frames before their last one: {_some(gaps)}"] if gaps else []
    else:
        findings.problems += [f"{name}: clip {row}: empty frames before its last one, which feeders.feeder_ntu.Feeder, "
                              "as published, takes for padding: it counts the frames with a body, and takes as many "
                              "from frame 0 on"
                              for row in gaps]


def _some(numbers: np.ndarray | list[int]) -> str:
    return ", ".join(map(str, numbers[:MOST_NAMED])) + (", ..." if len(numbers) > MOST_NAMED else "")
