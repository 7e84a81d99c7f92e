"""What all commands that prepare recordings have in common: options, the closing summary, skipped recordings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skeleton_lab.data.formats.ntu import Benchmark
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.files import write_text

DAMAGED, MISNAMED, EMPTY = "damaged", "misnamed", "without a body"
CHECKOUT = Path(__file__).resolve().parents[3]
_SHOWN = 20


class Skipped(NamedTuple):
    """A recording that was passed over: its file, one of the kinds above, and the reason, which names the file."""

    path: str
    kind: str
    reason: str

    @classmethod
    def because(cls, path: str, error: UserError) -> Skipped:
        """Return the entry for a recording that raised `error`."""
        return cls(path, EMPTY if isinstance(error, NothingToSee) else DAMAGED, str(error))


@dataclass
class Summary:
    """Counts of one command's run; `text` is what it prints in the end."""

    num_listed: int = 0
    num_ignored: int = 0
    num_reused: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    frame_counts: list[int] = field(default_factory=list)
    kept_per_piece: list[int] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    why_ignored: str = "on the list of samples with missing skeletons"
    started: float = field(default_factory=time.monotonic)

    @property
    def num_kept(self) -> int:
        """How many recordings are of use."""
        return len(self.frame_counts)

    def add(self, skipped: list[Skipped], frame_counts: np.ndarray) -> None:
        """Add one piece of work: what it skipped, and the number of frames (n,) of each recording it kept."""
        self.skipped += skipped
        self.frame_counts += frame_counts.tolist()
        self.kept_per_piece.append(len(frame_counts))

    def refuse_damage(self) -> None:
        """Raise UserError for the first recording that is damaged or misnamed: what `--strict` asks for."""
        for entry in self.skipped:
            if entry.kind != EMPTY:
                raise UserError(f"{entry.reason} (--strict stops here)")

    def text(self, jobs: int) -> str:
        """Return the summary, several lines."""
        seconds = time.monotonic() - self.started
        fresh = self.num_listed - self.num_reused
        kinds = [f"{count:,} {kind}" for kind in (DAMAGED, MISNAMED, EMPTY)
                 if (count := sum(entry.kind == kind for entry in self.skipped))]
        lines = [f"recordings  {self.num_listed:>9,}" + (f"  ({self.num_reused:,} of them read by an earlier run)"
                                                         if self.num_reused else ""),
                 f"  kept      {self.num_kept:>9,}",
                 f"  skipped   {len(self.skipped):>9,}" + (f"  ({', '.join(kinds)})" if kinds else ""),
                 f"frames      {sum(self.frame_counts):>9,}",
                 f"time        {seconds:>9.1f} s" + (f"  ({fresh / seconds:,.0f} recordings/s, {jobs} "
                                                     f"{'process' if jobs == 1 else 'processes'})" if fresh else "")]
        if self.num_ignored:
            lines.insert(3, f"  left out  {self.num_ignored:>9,}  ({self.why_ignored})")
        lines += [f"note: {remark}" for remark in self.remarks]
        lines += [f"skipped: {entry.reason}" for entry in self.skipped[:_SHOWN]]
        if len(self.skipped) > _SHOWN:
            lines.append(f"skipped: and {len(self.skipped) - _SHOWN} more")
        return "\n".join(lines)


def write_skipped(path: Path, skipped: Iterable[Skipped]) -> None:
    """Write the complete list of skipped recordings: kind, tab, reason."""
    write_text(path, "".join(f"{entry.kind}\t{entry.reason}\n" for entry in skipped))


def find_skeletons(given: Sequence[str] | None, benchmark: Benchmark, raw_folders: Sequence[Path],
                   option: str) -> tuple[Path, ...]:
    """Return the folders of a benchmark's `.skeleton` files: those given, or the official ones where they usually are.

    Args:
        given: folders from the command line, if any.
        benchmark: NTU60 or NTU120.
        raw_folders: where to look for the official folders; after them, `data/nturgbd_raw` of the checkout.
        option: the option that gives them, for messages.

    Raises:
        UserError: one of them is not there.
    """
    if given is not None:
        for folder in given:
            if not Path(folder).is_dir():
                raise UserError(f"{folder}: no such folder; give the folder of the .skeleton files with {option}")
        return tuple(map(Path, given))
    candidates = [*raw_folders, CHECKOUT / "data" / "nturgbd_raw"]
    for raw in candidates:
        folders = tuple(raw / name for name in benchmark.skeleton_folders)
        if all(folder.is_dir() for folder in folders):
            return folders
    raise UserError(f"{' or '.join(map(str, candidates))}: {' and '.join(benchmark.skeleton_folders)} not found; put "
                    f"the official download there or give its folder with {option}")


def find_missing_list(given: str | Path | None, benchmark: Benchmark, sources: Sequence[Path]) -> Path | None:
    """Return the list of samples with missing skeletons: the file given, or one beside a folder of recordings.

    Raises:
        UserError: the file given is not there.
    """
    if given is not None:
        if not Path(given).is_file():
            raise UserError(f"{given}: no such file; give the official list of samples with missing skeletons, or "
                            "leave the option out")
        return Path(given)
    beside = [source.resolve().parent / name for source in sources for name in benchmark.missing_lists]
    return next((path for path in beside if path.is_file()), None)
