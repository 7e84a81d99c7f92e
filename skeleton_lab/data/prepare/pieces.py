"""Long work in pieces: each piece's result is a file, so that what is interrupted can carry on.

A result remembers the fingerprint of what it was made from. It counts as done only while that is the same: the
same version of the code's rules, the same input files, none of them changed since.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.errors import UserError
from skeleton_lab.files import replacing

FILES_PER_PIECE = 64
_KEY = "made_from"


@dataclass(frozen=True)
class Piece:
    """A run of input files that are worked on together. `key` is the fingerprint of their content."""

    number: int
    paths: tuple[str, ...]
    key: str


def fingerprint(*parts: object) -> str:
    """Return 40 hexadecimal digits that tell one list of strings and numbers from any other."""
    return hashlib.sha1(repr(parts).encode(), usedforsecurity=False).hexdigest()


def cut_into_pieces(paths: Sequence[Path], rules: str, files_per_piece: int) -> list[Piece]:
    """Cut a list of files into pieces. `rules` names what is done to them, with its version.

    Raises:
        UserError: a file is gone.
    """
    pieces: list[Piece] = []
    for start in range(0, len(paths), files_per_piece):
        run = paths[start:start + files_per_piece]
        key = fingerprint(rules, [(str(path), *_size_and_time(path)) for path in run])
        pieces.append(Piece(len(pieces), tuple(map(str, run)), key))
    return pieces


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); download it again or leave it out") from error
    return state.st_size, state.st_mtime_ns


@dataclass(frozen=True)
class PieceFolder:
    """A folder of results, `piece-00000.npz` and so on."""

    path: Path

    def file(self, number: int) -> Path:
        """Return where the result of a piece stands."""
        return self.path / f"piece-{number:05d}.npz"

    def is_done(self, number: int, key: str) -> bool:
        """Whether the result of this very piece is there and whole."""
        try:
            with np.load(self.file(number), allow_pickle=False) as arrays:
                return str(arrays[_KEY]) == key
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False

    def write(self, number: int, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a result, atomically."""
        with replacing(self.file(number)) as temporary, open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **{_KEY: np.array(key), **arrays})

    def read(self, number: int, without: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Read a result, but for the arrays named in `without`.

        Raises:
            UserError: it is not there, or damaged.
        """
        try:
            with np.load(self.file(number), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files if name not in without}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{self.file(number)}: missing or damaged ({type(error).__name__}); delete {self.path} "
                            "and run the command again") from error

    def forget_others(self, numbers: Iterable[int]) -> None:
        """Delete results of pieces that are none of `numbers`, and what interrupted writers left behind."""
        wanted = {self.file(number).name for number in numbers}
        for path in [*self.path.glob("piece-*.npz"), *self.path.glob(".piece-*.part")]:
            if path.name not in wanted:
                path.unlink(missing_ok=True)


def ragged(rows: Sequence[np.ndarray], dtype: np.typing.DTypeLike) -> tuple[np.ndarray, np.ndarray]:
    """Return arrays of any shapes as one flat array, and (n + 1,) int64 where each begins and the last ends."""
    bounds = np.concatenate(([0], np.cumsum([row.size for row in rows], dtype=np.int64)))
    flat = np.concatenate([row.ravel() for row in rows]) if rows else np.empty(0)
    return flat.astype(dtype, copy=False), bounds.astype(np.int64)
