"""A `.npy` file that several processes fill row by row, in any order, and that an interruption does not undo."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from skeleton_lab.errors import UserError

_DTYPE = np.dtype("<f4")


@dataclass(frozen=True)
class RowFile:
    """A float32 array `shape` to be written to `path`.

    Until `commit`, rows go to a hidden file beside it, which stays when the work is interrupted. Rows are written
    with plain writes rather than through a mapping, so that they do not count as any process's memory.
    """

    path: Path
    shape: tuple[int, ...]

    @property
    def partial(self) -> Path:
        """The file that rows go to until all are there."""
        return self.path.with_name(f".{self.path.name}.partial")

    @property
    def num_bytes(self) -> int:
        """Size of the array."""
        return math.prod(self.shape) * _DTYPE.itemsize

    def prepare(self) -> bool:
        """Make the hidden file unless one of this very shape is there; return whether it was."""
        header = self._header()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.partial.exists() and self.partial.stat().st_size == len(header) + self.num_bytes:
                with open(self.partial, "rb") as file:
                    if file.read(len(header)) == header:
                        return True
            with open(self.partial, "wb") as file:
                file.write(header)
                file.truncate(len(header) + self.num_bytes)
        except OSError as error:
            raise self._unwritable(error) from error
        return False

    def write(self, start: int, rows: np.ndarray) -> None:
        """Write rows, (n, *shape[1:]) float32, from row `start` on, down to the disk."""
        if rows.shape[1:] != self.shape[1:] or not 0 <= start <= start + len(rows) <= self.shape[0]:
            raise ValueError(f"rows {start} to {start + len(rows)} of shape {rows.shape[1:]} do not fit {self.shape}")
        row_bytes = self.num_bytes // max(1, self.shape[0])
        try:
            with open(self.partial, "r+b", buffering=0) as file:
                file.seek(len(self._header()) + start * row_bytes)
                unwritten = memoryview(np.ascontiguousarray(rows, _DTYPE).reshape(-1).view(np.uint8).data)
                while unwritten:
                    unwritten = unwritten[file.write(unwritten):]
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def commit(self) -> None:
        """Put the file in its place. All rows must have been written."""
        os.replace(self.partial, os.path.realpath(self.path))

    def _header(self) -> bytes:
        return _npy_header(self.shape)

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"{self.path}: cannot write it ({error.strerror}); check the folder's permissions and free "
                         "space, or choose another place")


def _npy_header(shape: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    description = {"descr": npy_format.dtype_to_descr(_DTYPE), "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(buffer, description)
    return buffer.getvalue()
