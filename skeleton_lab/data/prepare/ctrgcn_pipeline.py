"""From NTU's raw recordings towards CTR-GCN's archives: steps 1 and 2 of 3, each leaving its results on disk.

    collect   .skeleton files           -> raw_data/        bodies by id, frames without a body dropped
    denoise   raw_data/                 -> denoised_data/   one or two actors a recording, moved to the origin

The third step, from denoised_data/ to the archives, is `skeleton_lab.data.prepare.ctrgcn_archives`. Each step works in
pieces of a few dozen recordings, so memory does not grow with their number, and a step that was interrupted carries on.
The rules are those of `skeleton_lab.data.prepare.actors`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats.ntu import Benchmark, list_recordings, read_missing_list
from skeleton_lab.data.formats.sightings import Sightings
from skeleton_lab.data.formats.skeleton_file import NUM_JOINTS, read_recording
from skeleton_lab.data.prepare import workers
from skeleton_lab.data.prepare.actors import ACTOR_VALUES, Body, Scene, choose_actors, collect_bodies, translate
from skeleton_lab.data.prepare.pieces import FILES_PER_PIECE, Piece, PieceFolder, cut_into_pieces, fingerprint, ragged
from skeleton_lab.data.prepare.preparation import MISNAMED, Skipped, Summary, write_skipped
from skeleton_lab.data.prepare.workers import Crew
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.files import write_text

RAW, DENOISED = "raw_data", "denoised_data"
_COLLECT_RULES, _DENOISE_RULES = "collect 1", "denoise 1"
_INDEX = "index.json"


@dataclass(frozen=True)
class Preparation:
    """What to prepare: a benchmark's recordings in `sources`, less those on `missing_list`, into `folder`."""

    benchmark: Benchmark
    folder: Path
    sources: tuple[Path, ...] = ()
    missing_list: Path | None = None
    strict: bool = False
    files_per_piece: int = FILES_PER_PIECE

    @property
    def raw(self) -> PieceFolder:
        """Where `collect` leaves its results."""
        return PieceFolder(self.folder / RAW)

    @property
    def denoised(self) -> PieceFolder:
        """Where `denoise` leaves its results."""
        return PieceFolder(self.folder / DENOISED)


def collect(plan: Preparation, crew: Crew) -> Summary:
    """Read all recordings; leave bodies and frame counts in `raw_data/`.

    Raises:
        UserError: nothing to read or nothing readable; with `strict`, a damaged or misnamed recording.
    """
    ignored = read_missing_list(plan.missing_list) if plan.missing_list else frozenset()
    listing = list_recordings(plan.sources, plan.benchmark, ignored)
    misnamed = [Skipped(path, MISNAMED, reason) for path, reason in listing.misnamed]
    summary = Summary(len(listing.paths) + len(misnamed), listing.num_ignored, skipped=misnamed)
    if plan.strict:
        summary.refuse_damage()
    by_name = sorted(listing.paths, key=lambda path: path.name)
    pieces = cut_into_pieces(by_name, _COLLECT_RULES, plan.files_per_piece)
    counts = [len(piece.paths) for piece in pieces]
    _run_pieces(plan, crew, plan.raw, list(zip(pieces, counts, strict=True)), _collect_piece, summary)
    drops = []
    for result in _results(plan.raw, pieces):
        summary.add(_skipped(result), result["num_frames"])
        names = result["names"].tolist()
        for recording in np.unique(result["dropped_recording"]).tolist():
            frames = result["dropped_frame"][result["dropped_recording"] == recording].tolist()
            drops.append(f"{names[recording]}\t{frames}\n")
    write_text(plan.raw.path / "frames_drop.log", "".join(drops))
    _finish(plan, plan.raw, pieces, summary)
    return summary


def _collect_piece(task: tuple[Path, Piece, bool]) -> None:
    """Read the recordings of one piece and write what was found."""
    folder, piece, strict = task
    scenes: list[tuple[str, Scene]] = []
    skipped: list[Skipped] = []
    for path in piece.paths:
        try:
            scenes.append((Path(path).stem, scene_of(read_recording(path), path)))
        except UserError as error:
            if strict and not isinstance(error, NothingToSee):
                raise UserError(f"{error} (--strict stops here)") from error
            skipped.append(Skipped.because(path, error))
        workers.advance()
    bodies = [(number, body) for number, (_, scene) in enumerate(scenes) for body in scene.bodies]
    dropped, dropped_bounds = ragged([scene.dropped for _, scene in scenes], np.int64)
    joints, _ = ragged([body.joints for _, body in bodies], np.float32)
    PieceFolder(folder).write(piece.number, piece.key, {
        "names": np.array([name for name, _ in scenes], np.str_),
        "num_frames": np.array([scene.num_frames for _, scene in scenes], np.int64),
        "dropped_recording": np.repeat(np.arange(len(scenes)), np.diff(dropped_bounds)),
        "dropped_frame": dropped,
        "body_recording": np.array([number for number, _ in bodies], np.int64),
        "body_ids": np.array([body.body_id for _, body in bodies], np.str_),
        "body_first": np.array([body.first for _, body in bodies], np.int64),
        "body_frames": np.array([len(body.joints) for _, body in bodies], np.int64),
        "joints": joints.reshape(-1, NUM_JOINTS, 3),
        "skipped": np.array(skipped, np.str_).reshape(-1, 3)})


def scene_of(recording: Sightings, path: str) -> Scene:
    """Return a recording's bodies by id; `path` names it in messages.

    Raises:
        NothingToSee: there is no body in it.
    """
    scene = collect_bodies(recording)
    if not scene.bodies:
        raise NothingToSee(f"{path}: no frame holds a body; put it on the list of samples with missing skeletons")
    return scene


def _scenes(result: dict[str, np.ndarray]) -> Iterator[tuple[str, Scene]]:
    """Yield (name, scene) of each recording of a piece of `raw_data/`."""
    ends = np.cumsum(result["body_frames"])
    for number, name in enumerate(result["names"].tolist()):
        bodies = tuple(Body(str(result["body_ids"][body]), int(result["body_first"][body]),
                            result["joints"][ends[body] - result["body_frames"][body]:ends[body]])
                       for body in np.flatnonzero(result["body_recording"] == number))
        dropped = result["dropped_frame"][result["dropped_recording"] == number]
        yield name, Scene(int(result["num_frames"][number]), bodies, dropped)


def denoise(plan: Preparation, crew: Crew) -> Summary:
    """Choose the actors of all recordings in `raw_data/`; leave them, moved to the origin, in `denoised_data/`.

    Raises:
        UserError: `collect` has not finished, or nothing is left.
    """
    keys, counts = read_index(plan.raw, "get_raw_skes_data.py")
    pieces = [Piece(number, (), fingerprint(_DENOISE_RULES, key)) for number, key in enumerate(keys)]
    summary = Summary(sum(counts))
    _run_pieces(plan, crew, plan.denoised, list(zip(pieces, counts, strict=True)), _denoise_piece, summary)
    for result in _results(plan.denoised, pieces):
        summary.add(_skipped(result), num_frames(result))
    _finish(plan, plan.denoised, pieces, summary)
    return summary


def _denoise_piece(task: tuple[Path, Piece, bool]) -> None:
    """Choose the actors of one piece's recordings and write them."""
    folder, piece, _ = task
    names, actors, skipped = [], [], []
    for name, scene in _scenes(PieceFolder(folder.parent / RAW).read(piece.number)):
        try:
            actors.append(actors_of(scene, name))
            names.append(name)
        except NothingToSee as reason:
            skipped.append(Skipped.because(name, reason))
        workers.advance()
    values, bounds = ragged(actors, np.float32)
    PieceFolder(folder).write(piece.number, piece.key, {
        "names": np.array(names, np.str_), "num_actors": np.array([rows.shape[1] // ACTOR_VALUES for rows in actors],
                                                                  np.int64),
        "values": values, "bounds": bounds, "skipped": np.array(skipped, np.str_).reshape(-1, 3)})


def actors_of(scene: Scene, name: str) -> np.ndarray:
    """Return the frames of a scene's actors, moved to the origin: (f, 75) for one, (f, 150) for two, float32.

    Raises:
        NothingToSee: the first actor, whose place decides where the origin is, is nowhere.
    """
    rows = translate(choose_actors(scene))
    if rows is None:
        raise NothingToSee(f"{name}: all joints of its first actor are zero in every frame; leave it out")
    return rows


def num_frames(result: dict[str, np.ndarray]) -> np.ndarray:
    """Return (n,) int64: the frames of each recording of a piece of `denoised_data/`."""
    return np.diff(result["bounds"]) // (ACTOR_VALUES * result["num_actors"])


def read_index(folder: PieceFolder, script: str) -> tuple[list[str], list[int]]:
    """Return key and number of recordings of each finished piece in `folder`.

    Raises:
        UserError: the step that fills it has not finished; `script` is the one to run.
    """
    try:
        index = json.loads((folder.path / _INDEX).read_text(encoding="utf-8"))
        return list(map(str, index["keys"])), list(map(int, index["counts"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder.path}: holds no finished work; run {script} first") from error


def _run_pieces(plan: Preparation, crew: Crew, folder: PieceFolder, pieces: Sequence[tuple[Piece, int]],
                function: Callable[[tuple[Path, Piece, bool]], None], summary: Summary) -> None:
    """Do those of `pieces`, each with its number of recordings, that are not done yet."""
    (folder.path / _INDEX).unlink(missing_ok=True)  # whoever reads it finds finished work, or nothing
    folder.forget_others(piece.number for piece, _ in pieces)
    todo = [(piece, count) for piece, count in pieces if not folder.is_done(piece.number, piece.key)]
    total = sum(count for _, count in pieces)
    summary.num_reused = total - sum(count for _, count in todo)
    with tqdm(total=total, initial=summary.num_reused, unit="file", desc=folder.path.name) as progress:
        tasks = ((folder.path, piece, plan.strict) for piece, _ in todo)
        for _ in crew.run(function, tasks, progress):
            pass


def _finish(plan: Preparation, folder: PieceFolder, pieces: Sequence[Piece], summary: Summary) -> None:
    """Write the lists that go with the pieces, and last the index that says all is there."""
    if plan.strict:
        summary.refuse_damage()
    if not summary.num_kept:
        raise UserError(f"{folder.path}: no recording is usable; the first: {summary.skipped[0].reason}")
    write_text(folder.path / "frames_cnt.txt", "".join(f"{count}\n" for count in summary.frame_counts))
    write_skipped(folder.path / "skipped.txt", summary.skipped)
    index = {"keys": [piece.key for piece in pieces], "counts": summary.kept_per_piece}
    write_text(folder.path / _INDEX, json.dumps(index) + "\n")


def _results(folder: PieceFolder, pieces: Sequence[Piece]) -> Iterator[dict[str, np.ndarray]]:
    for piece in pieces:
        yield folder.read(piece.number, without=("joints", "values"))


def _skipped(result: dict[str, np.ndarray]) -> list[Skipped]:
    return [Skipped(*entry) for entry in result["skipped"].tolist()]
