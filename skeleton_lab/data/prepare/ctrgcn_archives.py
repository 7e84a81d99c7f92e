"""From denoised recordings to CTR-GCN's archives: step 3 of 3, after `skeleton_lab.data.prepare.ctrgcn_pipeline`.

An archive holds `x_train`, `x_test`, (N, T, 150) float32: two bodies of 25 joints of x, y, z in metres, zeros behind a
clip's last frame, T the most frames any recording has; and `y_train`, `y_test`, (N, classes) float64, one-hot. Rows
are grouped by the protocol's numbers (performers, cameras or setups, ascending) and sorted by name in each group.
Of a whole benchmark it also holds names of clips and classes: see `skeleton_lab.data.formats.about`.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.about import About, about_ntu, write_about
from skeleton_lab.data.formats.ntu import NTU60, NTU120, Protocol, SampleName, parse_name
from skeleton_lab.data.prepare import workers
from skeleton_lab.data.prepare.actors import ACTOR_VALUES
from skeleton_lab.data.prepare.ctrgcn_pipeline import Preparation, num_frames, read_index
from skeleton_lab.data.prepare.pieces import PieceFolder, fingerprint
from skeleton_lab.data.prepare.workers import Crew
from skeleton_lab.errors import UserError
from skeleton_lab.files import size_text, write_text

# In the order in which they are written.
ARCHIVES = {NTU60.name: (("NTU60_CS.npz", "xsub"), ("NTU60_CV.npz", "xview")),
            NTU120.name: (("NTU120_CSet.npz", "xset"), ("NTU120_CSub.npz", "xsub"))}

_RULES = "archive 2"
_DONE = "archives.json"
_ROWS_AT_ONCE = 32
_PIECES_AT_HAND = 8


@dataclass(frozen=True)
class Part:
    """One part of an archive: the recordings of its rows, (piece, place in the piece) each, classes and names."""

    name: str
    places: tuple[tuple[int, int], ...]
    labels: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class ArchivePlan:
    """One archive to write. `twin`: a single actor stands in for the second body too, as published for NTU120."""

    path: Path
    denoised: PieceFolder
    parts: tuple[Part, Part]
    num_frames: int
    num_classes: int
    twin: bool
    key: str

    @property
    def num_rows(self) -> int:
        """The rows of both parts."""
        return sum(len(part.places) for part in self.parts)

    @property
    def num_bytes(self) -> int:
        """Size on disk, but for headers."""
        return self.num_rows * (self.num_frames * 2 * ACTOR_VALUES * 4 + self.num_classes * 8)


def write_archives(plan: Preparation, crew: Crew) -> list[ArchivePlan]:
    """Write the benchmark's archives into `plan.folder`; return what they hold. Those already up to date stay.

    Raises:
        UserError: `denoise` has not finished, the disk has too little room, or another archive is in the place of one.
    """
    refuse_others_archives(plan)
    archives = _plan_archives(plan)
    todo = [entry for entry in archives if not _is_done(plan, entry)]
    for entry in archives:
        for leftover in plan.folder.glob(f".{entry.path.name}.*.part"):  # of an interrupted run
            leftover.unlink(missing_ok=True)
    needed, free = sum(entry.num_bytes for entry in todo), shutil.disk_usage(plan.folder).free
    if needed > free:
        raise UserError(f"{plan.folder}: {' and '.join(entry.path.name for entry in todo)} need {size_text(needed)}, "
                        f"{size_text(free)} are free; make room or choose another place")
    _record(plan, {entry.path.name: {"made_from": entry.key} for entry in todo})  # ours, also if it ends half-way
    with tqdm(total=sum(entry.num_rows for entry in todo), unit="row", desc="archives") as progress:
        for written in crew.run(_write_archive, todo, progress):
            _record(plan, {written.path.name: _state(written)})
    return archives


def refuse_others_archives(plan: Preparation) -> None:
    """Look for archives in the place of those to make which this preparation did not make: downloaded ones, a link.

    Raises:
        UserError: there is one.
    """
    made = _done_records(plan)
    for name, _ in ARCHIVES[plan.benchmark.name]:
        if name not in made and os.path.lexists(plan.folder / name):
            raise UserError(f"{plan.folder / name}: is there already, and was not made from {plan.denoised.path}; move "
                            "it away, or write elsewhere with --output")


def _plan_archives(plan: Preparation) -> list[ArchivePlan]:
    """Read what there is and lay out the rows of each archive."""
    keys, _ = read_index(plan.denoised, "get_raw_denoised_data.py")
    samples: list[SampleName] = []
    places: list[tuple[int, int]] = []
    most_frames = 0
    for piece in range(len(keys)):
        result = plan.denoised.read(piece, without=("values",))
        samples += map(parse_name, result["names"].tolist())
        places += [(piece, place) for place in range(len(result["names"]))]
        most_frames = max(most_frames, int(num_frames(result).max(initial=0)))
    protocols = {protocol.name: protocol for protocol in plan.benchmark.protocols}
    return [ArchivePlan(path=plan.folder / name, denoised=plan.denoised, num_frames=most_frames,
                        parts=(_part("train", protocols[protocol], samples, places),
                               _part("test", protocols[protocol], samples, places)),
                        num_classes=plan.benchmark.num_classes, twin=plan.benchmark is NTU120,
                        key=fingerprint(_RULES, name, keys))
            for name, protocol in ARCHIVES[plan.benchmark.name]]


def _part(name: str, protocol: Protocol, samples: Sequence[SampleName], places: Sequence[tuple[int, int]]) -> Part:
    rank = {number: position for position, number in enumerate(getattr(protocol, name))}
    rows = [row for row, sample in enumerate(samples) if protocol.group(sample) in rank]
    rows.sort(key=lambda row: rank[protocol.group(samples[row])])  # stable: by name inside a group
    return Part(name, tuple(places[row] for row in rows), np.array([samples[row].label for row in rows], np.int64),
                tuple(str(samples[row]) for row in rows))


def _write_archive(entry: ArchivePlan) -> ArchivePlan:
    """Write one archive and return its plan."""
    read = functools.lru_cache(maxsize=_PIECES_AT_HAND)(entry.denoised.read)  # neighbours are often in one piece
    with archive.NpzWriter(entry.path) as writer:
        for part in entry.parts:
            num_rows = len(part.places)
            with writer.member(f"x_{part.name}", (num_rows, entry.num_frames, 2 * ACTOR_VALUES), np.float32) as sink:
                for start in range(0, num_rows, _ROWS_AT_ONCE):
                    places = part.places[start:start + _ROWS_AT_ONCE]
                    block = np.zeros((len(places), entry.num_frames, 2 * ACTOR_VALUES), np.float32)
                    for row, (piece, place) in zip(block, places, strict=True):
                        fill_row(row, _actors(read(piece), place), entry.twin)
                    sink.append(block)
                    workers.advance(len(places))
            with writer.member(f"y_{part.name}", (num_rows, entry.num_classes), np.float64) as sink:
                for start in range(0, num_rows, 1024):
                    labels = part.labels[start:start + 1024]
                    sink.append((labels[:, None] == np.arange(entry.num_classes)).astype(np.float64))
        about = about_ntu(np.concatenate([part.labels for part in entry.parts]), entry.num_classes)
        if about != About():
            write_about(writer, replace(about, clip_names={part.name: part.names for part in entry.parts}))
    return entry


def _actors(result: dict[str, np.ndarray], place: int) -> np.ndarray:
    """Return the actors of one recording of a piece, (f, 75) or (f, 150)."""
    values = result["values"][result["bounds"][place]:result["bounds"][place + 1]]
    return values.reshape(-1, ACTOR_VALUES * int(result["num_actors"][place]))


def fill_row(row: np.ndarray, actors: np.ndarray, twin: bool) -> None:
    """Put one recording's actors, (f, 75) or (f, 150), into a row of zeros, (T, 150); `twin` as in `ArchivePlan`."""
    row[:len(actors), :actors.shape[1]] = actors
    if twin and actors.shape[1] == ACTOR_VALUES:
        row[:len(actors), ACTOR_VALUES:] = actors


def _is_done(plan: Preparation, entry: ArchivePlan) -> bool:
    """Whether the archive stands there as an earlier run made it from the same recordings."""
    record = _done_records(plan).get(entry.path.name)
    return entry.path.is_file() and record == _state(entry)


def _record(plan: Preparation, records: dict[str, Any]) -> None:
    """Keep what archives are made of, by their names."""
    records = {**_done_records(plan), **records}
    write_text(plan.denoised.path / _DONE, json.dumps(records, indent=1) + "\n")


def _done_records(plan: Preparation) -> dict[str, Any]:
    try:
        records = json.loads((plan.denoised.path / _DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return records if isinstance(records, dict) else {}


def _state(entry: ArchivePlan) -> dict[str, Any]:
    state = entry.path.stat()
    return {"made_from": entry.key, "bytes": state.st_size, "modified_ns": state.st_mtime_ns}
