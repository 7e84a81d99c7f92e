"""NTU RGB+D: what a sample's name says, the benchmarks' protocols, and finding recordings in a folder.

A recording is named `SsssCcccPpppRrrrAaaa` after its setup, camera, performer (subject), replication and
action. Sources: Shahroudy et al., CVPR 2016 (NTU RGB+D 60: cross-subject, cross-view) and Liu et al.,
TPAMI 2019 (NTU RGB+D 120: cross-subject, cross-setup).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from skeleton_lab.errors import UserError

SUFFIX = ".skeleton"
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)


class SampleName(NamedTuple):
    """The five numbers of a sample's name, each counted from 1."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    @property
    def label(self) -> int:
        """The class index, counted from 0."""
        return self.action - 1

    def __str__(self) -> str:
        return (f"S{self.setup:03d}C{self.camera:03d}P{self.performer:03d}"
                f"R{self.replication:03d}A{self.action:03d}")


def parse_name(name: str) -> SampleName:
    """Return the numbers of a sample's name, with or without the `.skeleton` suffix.

    Raises:
        UserError: it is not of the form SsssCcccPpppRrrrAaaa, or one of the numbers is 0.
    """
    match = _NAME.fullmatch(name.removesuffix(SUFFIX))
    numbers = tuple(map(int, match.groups())) if match else ()
    if not numbers or 0 in numbers:
        raise UserError(f"{name}: is no sample name of the form SsssCcccPpppRrrrAaaa; "
                        "give the recording its name from the official download")
    return SampleName(*numbers)


@dataclass(frozen=True)
class Protocol:
    """How a benchmark is split: by which number of the name, and which of its values go where.

    The order of `train` and `test` is the order in which CTR-GCN's archives group their rows.
    """

    name: str
    field: str
    train: tuple[int, ...]
    test: tuple[int, ...]

    def group(self, sample: SampleName) -> int:
        """Return the number that decides where `sample` goes: its performer, camera or setup."""
        return int(getattr(sample, self.field))

    def is_train(self, sample: SampleName) -> bool:
        """Whether `sample` belongs to the training part; if not, it belongs to the test part."""
        return self.group(sample) in self.train


@dataclass(frozen=True)
class Benchmark:
    """One release of the dataset: how far its numbers go, and its protocols, the official download's names."""

    name: str
    num_classes: int
    num_setups: int
    num_performers: int
    protocols: tuple[Protocol, ...]
    skeleton_folders: tuple[str, ...]
    missing_lists: tuple[str, ...]

    def check(self, sample: SampleName) -> None:
        """Raise UserError if `sample` is none of this benchmark's."""
        for what, number, limit in (("setup", sample.setup, self.num_setups), ("camera", sample.camera, 3),
                                    ("performer", sample.performer, self.num_performers),
                                    ("action", sample.action, self.num_classes)):
            if number > limit:
                raise UserError(f"{sample}: {what} {number} is none of {self.name}'s {limit}; "
                                "is this the folder of another benchmark?")


def _others(chosen: Sequence[int], last: int) -> tuple[int, ...]:
    return tuple(number for number in range(1, last + 1) if number not in chosen)


_TRAIN_SUBJECTS_60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
_TRAIN_SUBJECTS_120 = (*_TRAIN_SUBJECTS_60, 45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89,
                       *range(91, 96), 97, 98, 100, 103)

NTU60 = Benchmark(
    name="NTU60", num_classes=60, num_setups=17, num_performers=40,
    protocols=(Protocol("xsub", "performer", _TRAIN_SUBJECTS_60, _others(_TRAIN_SUBJECTS_60, 40)),
               Protocol("xview", "camera", (2, 3), (1,))),
    skeleton_folders=("nturgb+d_skeletons",),
    missing_lists=("NTU_RGBD_samples_with_missing_skeletons.txt", "samples_with_missing_skeletons.txt"))

NTU120 = Benchmark(
    name="NTU120", num_classes=120, num_setups=32, num_performers=106,
    protocols=(Protocol("xsub", "performer", _TRAIN_SUBJECTS_120, _others(_TRAIN_SUBJECTS_120, 106)),
               Protocol("xset", "setup", tuple(range(2, 33, 2)), tuple(range(1, 32, 2)))),
    skeleton_folders=("nturgb+d_skeletons", "nturgb+d_skeletons120"),
    missing_lists=("NTU_RGBD120_samples_with_missing_skeletons.txt",))


def read_missing_list(path: str | Path) -> frozenset[str]:
    """Return the sample names in an official list of samples with missing skeletons.

    The official files open with lines of prose: any line that holds no sample name is passed over. An empty file is an
    empty list.

    Raises:
        UserError: the file cannot be read, or holds text that names no sample at all.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); give the official list of samples "
                        "with missing skeletons, or leave the option out") from error
    names = frozenset(match.group(0) for match in map(_NAME.match, map(str.strip, text.splitlines())) if match)
    if not names and text.strip("\ufeff \t\r\n"):
        raise UserError(f"{path}: names no sample; expected one SsssCcccPpppRrrrAaaa a line, or an empty file to leave "
                        "nothing out")
    return names


@dataclass(frozen=True)
class Listing:
    """What the folders hold: the recordings to read, sorted, and those passed over, each with its reason."""

    paths: tuple[Path, ...]
    num_ignored: int
    misnamed: tuple[tuple[str, str], ...]


def list_recordings(folders: Iterable[str | Path], benchmark: Benchmark,
                    ignored: frozenset[str] = frozenset()) -> Listing:
    """List the `.skeleton` files of `folders`, each folder's sorted by name, folder after folder.

    Samples in `ignored` are left out and counted; files whose names are none of the benchmark's
    samples are left out and listed. Files with other suffixes are nothing of ours. One and the same
    file that is reached twice, by a link or because a folder is given twice, is taken once.

    Raises:
        UserError: a folder cannot be read, no folder holds a recording, or two hold different files of one name.
    """
    paths: list[Path] = []
    misnamed: list[tuple[str, str]] = []
    num_ignored = 0
    seen: dict[str, Path] = {}  # name -> file
    taken: set[str] = set()
    tried = [Path(folder) for folder in folders]
    for folder in tried:
        try:
            names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(SUFFIX))
        except OSError as error:
            raise UserError(f"{folder}: cannot list it ({error.strerror}); give the folder of the "
                            f"{SUFFIX} files") from error
        for name in names:
            stem, path = name.removesuffix(SUFFIX), folder / name
            if name in seen and _is_same_file(path, seen[name]):
                continue
            if name in taken:
                raise UserError(f"{path}: stands in {seen[name].parent} too, and the two are different files; keep one "
                                "of them")
            seen[name] = path
            if stem in ignored:
                num_ignored += 1
                continue
            try:
                benchmark.check(parse_name(name))
            except UserError as error:
                misnamed.append((str(path), str(error)))
                continue
            paths.append(path)
            taken.add(name)
    if not paths:
        raise UserError(f"{', '.join(map(str, tried))}: no {SUFFIX} file named after a sample of "
                        f"{benchmark.name}; give the folder of the official download")
    return Listing(tuple(paths), num_ignored, tuple(misnamed))


def _is_same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file; a link that leads nowhere is no other's."""
    try:
        return first.samefile(second)
    except OSError:
        return False
