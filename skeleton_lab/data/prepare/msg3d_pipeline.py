"""From raw recordings to MS-G3D's files, `<part>_data_joint.npy` (N, 3, 300, V, 2) and `<part>_label.pkl`.

First all recordings are read, in pieces of a few dozen, and only then is it known which rows the files have. Then
each piece is finished (normalised, once for all protocols) and its rows go to their places. Both passes share the work
among processes, take constant memory and carry on after an interruption.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats.about import About, write_beside
from skeleton_lab.data.formats.kinetics import NUM_PEOPLE
from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.data.formats.msg3d_clips import MAX_FRAMES, read_kinetics_clip, read_ntu_clip
from skeleton_lab.data.formats.row_file import RowFile
from skeleton_lab.data.prepare import workers
from skeleton_lab.data.prepare.pieces import FILES_PER_PIECE, Piece, PieceFolder, cut_into_pieces, fingerprint, ragged
from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.data.prepare.preparation import Skipped, Summary
from skeleton_lab.data.prepare.workers import Crew
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.files import size_text

WORK = ".gendata"  # in the output folder, until all is done


@dataclass(frozen=True)
class Format:
    """How recordings of one kind become clips.

    rules: names the kind and the version of its rules. num_joints: V. read: (path, class index) -> (3, F, V, 2),
    F up to 300. finish: (n, 3, 300, V, 2) -> the same, in what way clips are stored. Both are functions of a module.
    """

    rules: str
    num_joints: int
    read: Callable[[str, int], np.ndarray]
    finish: Callable[[np.ndarray], np.ndarray]


def as_they_are(clips: np.ndarray) -> np.ndarray:
    """Return clips unchanged."""
    return clips


NTU = Format("msg3d ntu 1", 25, read_ntu_clip, pre_normalize)
KINETICS = Format("msg3d kinetics 1", 18, read_kinetics_clip, as_they_are)


@dataclass(frozen=True)
class Output:
    """One pair of files: `part` ("train", "val") in `folder`, of the recordings marked in `members` (n,) bool."""

    folder: Path
    part: str
    members: np.ndarray


@dataclass(frozen=True)
class Generation:
    """What to make: recordings in the order of the rows, with the names and classes that go into the label files.

    work_folder: where intermediate results stand until all is done. about: what is written beside the label files.
    """

    format: Format
    paths: Sequence[Path]
    names: Sequence[str]
    labels: Sequence[int]
    outputs: Sequence[Output]
    work_folder: Path
    strict: bool = False
    about: About = field(default_factory=About)
    files_per_piece: int = FILES_PER_PIECE

    @property
    def clips(self) -> PieceFolder:
        """Where the clips stand that have been read."""
        return PieceFolder(self.work_folder / "clips")

    @property
    def written(self) -> PieceFolder:
        """Where it is noted which pieces' rows have been written."""
        return PieceFolder(self.work_folder / "written")


def generate(plan: Generation, crew: Crew, summary: Summary) -> None:
    """Make the files of `plan`; add what was read and skipped to `summary`.

    Raises:
        UserError: no recording is usable, the disk has too little room; with `strict`, a damaged recording.
    """
    pieces = cut_into_pieces(plan.paths, plan.format.rules, plan.files_per_piece)
    _read_all(plan, crew, pieces, summary)
    kept = np.concatenate([plan.clips.read(piece.number, without=("values",))["kept"] for piece in pieces])
    if plan.strict:
        summary.refuse_damage()
    if not kept.any():
        raise UserError(f"{plan.paths[0].parent}: no recording is usable; the first: {summary.skipped[0].reason}")
    files = [RowFile(output.folder / f"{output.part}_data_joint.npy",
                     (int((kept & output.members).sum()), 3, MAX_FRAMES, plan.format.num_joints, NUM_PEOPLE))
             for output in plan.outputs]
    _write_all(plan, crew, pieces, kept, files)
    for output, file in zip(plan.outputs, files, strict=True):
        rows = np.flatnonzero(kept & output.members).tolist()
        write_labels(output.folder / f"{output.part}_label.pkl", [plan.names[row] for row in rows],
                     [plan.labels[row] for row in rows])
        write_beside(output.folder / f"{output.part}_label.pkl", plan.about)
        file.commit()
    shutil.rmtree(plan.work_folder, ignore_errors=True)


def _read_all(plan: Generation, crew: Crew, pieces: Sequence[Piece], summary: Summary) -> None:
    """Read the recordings of all pieces that have not been read yet."""
    plan.clips.forget_others(piece.number for piece in pieces)
    todo = [piece for piece in pieces if not plan.clips.is_done(piece.number, piece.key)]
    reused = len(plan.paths) - sum(len(piece.paths) for piece in todo)
    summary.num_reused += reused
    starts = np.cumsum([0, *(len(piece.paths) for piece in pieces)])
    with tqdm(total=len(plan.paths), initial=reused, unit="file", desc="reading") as progress:
        tasks = (_ReadTask(plan.clips, piece, plan.format,
                           tuple(plan.labels[starts[piece.number]:starts[piece.number + 1]]), plan.strict)
                 for piece in todo)
        for _ in crew.run(_read_piece, tasks, progress):
            pass
    for piece in pieces:
        result = plan.clips.read(piece.number, without=("values",))
        summary.add([Skipped(*entry) for entry in result["skipped"].tolist()],
                    np.diff(result["bounds"]) // (3 * plan.format.num_joints * NUM_PEOPLE))


@dataclass(frozen=True)
class _ReadTask:
    folder: PieceFolder
    piece: Piece
    format: Format
    labels: tuple[int, ...]
    strict: bool


def _read_piece(task: _ReadTask) -> None:
    """Read one piece's recordings and keep their clips."""
    clips: list[np.ndarray] = []
    kept: list[bool] = []
    skipped: list[Skipped] = []
    for path, label in zip(task.piece.paths, task.labels, strict=True):
        try:
            clips.append(task.format.read(path, label))
            kept.append(True)
        except UserError as error:
            if task.strict and not isinstance(error, NothingToSee):
                raise UserError(f"{error} (--strict stops here)") from error
            skipped.append(Skipped.because(path, error))
            kept.append(False)
        workers.advance()
    values, bounds = ragged(clips, np.float32)
    task.folder.write(task.piece.number, task.piece.key, {
        "kept": np.array(kept, bool), "values": values, "bounds": bounds,
        "skipped": np.array(skipped, np.str_).reshape(-1, 3)})


def _write_all(plan: Generation, crew: Crew, pieces: Sequence[Piece], kept: np.ndarray,
               files: Sequence[RowFile]) -> None:
    """Finish all clips that have not been written yet and write them to their rows."""
    _make_room(plan, files)
    if not all([file.prepare() for file in files]):
        plan.written.forget_others(())
    layout = fingerprint([(str(file.path), file.shape) for file in files])
    rows = [np.cumsum(kept & output.members) - 1 for output in plan.outputs]
    tasks = []
    start = 0
    for piece in pieces:
        here = slice(start, start + len(piece.paths))
        start = here.stop
        targets = tuple(_Target(file, int(row[here][mask].min(initial=file.shape[0])), mask[kept[here]])
                        for file, row, output in zip(files, rows, plan.outputs, strict=True)
                        for mask in [kept[here] & output.members[here]])
        tasks.append(_WriteTask(plan.clips, plan.written, piece.number, fingerprint(layout, piece.key), plan.format,
                                targets))
    todo = [task for task in tasks if not plan.written.is_done(task.number, task.key)]
    total = int(kept.sum())
    with tqdm(total=total, unit="clip", desc="writing") as progress:
        progress.update(total - sum(task.num_clips for task in todo))
        for _ in crew.run(_write_piece, todo, progress):
            pass


def _make_room(plan: Generation, files: Sequence[RowFile]) -> None:
    """Raise UserError if the disk is too full for the files that are not begun yet."""
    folder = plan.work_folder
    needed = sum(file.num_bytes for file in files if not file.partial.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder.parent}: {size_text(needed)} are needed, {size_text(free)} are free; make room "
                        "or choose another place")


@dataclass(frozen=True)
class _Target:
    """Where clips of a piece go: to `file` from row `start` on, those marked in `members` (n,) bool."""

    file: RowFile
    start: int
    members: np.ndarray


@dataclass(frozen=True)
class _WriteTask:
    clips: PieceFolder
    written: PieceFolder
    number: int
    key: str
    format: Format
    targets: tuple[_Target, ...]

    @property
    def num_clips(self) -> int:
        return len(self.targets[0].members)


def _write_piece(task: _WriteTask) -> None:
    """Finish one piece's clips and write them to all files they belong to."""
    result = task.clips.read(task.number)
    bounds = result["bounds"]
    joints = task.format.num_joints
    block = np.zeros((task.num_clips, 3, MAX_FRAMES, joints, NUM_PEOPLE), np.float32)
    for clip, start, stop in zip(block, bounds[:-1], bounds[1:], strict=True):
        frames = result["values"][start:stop].reshape(3, -1, joints, NUM_PEOPLE)
        clip[:, :frames.shape[1]] = frames
    finished = task.format.finish(block)
    for target in task.targets:
        if target.members.any():
            target.file.write(target.start, finished[target.members])
    task.written.write(task.number, task.key, {})
    workers.advance(task.num_clips)
