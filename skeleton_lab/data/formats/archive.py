"""Large arrays on disk, in constant memory: `.npz` members mapped in place, read or written block by block.

Headers come from `skeleton_lab.data.formats.headers`, which checks them against the file; every complaint about a file
is a one-line `UserError`.
"""

from __future__ import annotations

import io
import math
import shlex
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import DTypeLike

from skeleton_lab.data.formats.headers import (
    HDF5,
    NPZ,
    ArrayHeader,
    array_members,
    find_array,
    import_h5py,
    kind_of,
    list_arrays,
    member_start,
    names_of,
    npy_header,
    reading,
)
from skeleton_lab.errors import UserError
from skeleton_lab.files import replacing

__all__ = ["ArrayHeader", "NpzWriter", "Sink", "blocks", "conversion_command", "create_npy", "find_array", "kind_of",
           "list_arrays", "map_array", "names_of", "read_blocks", "read_whole"]

BLOCK_BYTES = 2 << 20  # what stays in a core's cache: larger blocks are slower
MAX_ROW_BYTES = 256 << 20  # a clip of 300 frames takes 180 kB; a row far beyond is a damaged or hostile header
ALIGNMENT = 64

_LOCAL_HEADER_BYTES = 30
_ZIP64_EXTRA_BYTES = 20
_PADDING_EXTRA_ID = 0xD935  # the registered "alignment" extra field of zip


def map_array(path: str | Path, key: str = "") -> np.ndarray:
    """Map one array of a `.npy` or stored (not deflated) `.npz` file: a read-only `np.memmap`, no memory, no copy.

    An array of an `.h5` file is mapped if it lies there in one piece, unpacked.

    In archives that numpy wrote, members seldom begin on a multiple of their item size, so the array may be unaligned
    (`flags.aligned` False): numpy handles that, but copy a clip before handing it to anything else. Pickling the array
    copies all of it; pickle the path instead.

    Raises:
        UserError: as `find_array`, or the array is deflated or in pieces.
    """
    header = find_array(path, key)
    if header.compressed or header.offset is None:
        raise UserError(_unmappable(Path(path), header))
    if header.nbytes == 0:
        empty = np.empty(header.shape, header.dtype)
        empty.flags.writeable = False
        return empty
    with reading(Path(path)):
        return np.memmap(path, header.dtype, "r", header.offset, header.shape, "F" if header.fortran_order else "C")


def blocks(length: int, row_bytes: int, max_bytes: int = BLOCK_BYTES) -> Iterator[slice]:
    """Yield slices that cut 0..`length` into runs of at most `max_bytes`, at least one row each."""
    rows = max(1, max_bytes // max(1, row_bytes))
    for start in range(0, length, rows):
        yield slice(start, min(start + rows, length))


def read_blocks(path: str | Path, key: str = "", max_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, np.ndarray]]:
    """Read an array from front to back in constant memory: yield (rows, fresh array of those rows).

    Serves stored and deflated members, `.npy` and `.h5`. It reads the file instead of mapping it, so that the pages
    passed over do not count as this process's memory; a `.npz` member's checksum is verified on the way.

    Raises:
        UserError: as `find_array`; the data is damaged, in Fortran order, or has rows of more than 256 MiB.
    """
    path, header = Path(path), find_array(path, key)
    if not header.shape:
        raise UserError(f"{path}: '{key}' is a single number, not an array of clips; choose another array")
    if header.fortran_order and len(header.shape) > 1:
        raise UserError(f"{path}: '{key}' is in Fortran order, which cannot be read clip by clip; save it again from "
                        "numpy.ascontiguousarray(...)")
    if header.row_bytes > MAX_ROW_BYTES:
        raise UserError(f"{path}: one entry of '{key}' {header.shape} takes {header.row_bytes >> 20} MiB, which is not "
                        "a clip; check what the file holds")
    with _open_data(path, header) as read_rows:
        for rows in blocks(header.shape[0], header.row_bytes, max_bytes):
            yield rows, read_rows(rows)


def read_whole(path: str | Path, key: str = "") -> np.ndarray:
    """Read an array that is small, such as one of names, into memory; a single number or string too.

    Raises:
        UserError: as `find_array`, or the data is damaged.
    """
    path, header = Path(path), find_array(path, key)
    if kind_of(path) == HDF5:
        with reading(path), import_h5py(path).File(path, "r") as file:
            return np.asarray(file[key][()])
    count = math.prod(header.shape)
    with _open_data(path, replace(header, shape=(count,))) as read_rows:
        values = read_rows(slice(0, count))
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")


@contextmanager
def _open_data(path: Path, header: ArrayHeader) -> Iterator[Callable[[slice], np.ndarray]]:
    """Open one array's data; yield a function that reads the next rows of it."""
    kind = kind_of(path)
    with ExitStack() as stack, reading(path):
        if kind == HDF5:
            yield stack.enter_context(import_h5py(path).File(path, "r"))[header.key].__getitem__
            return
        file: Any = stack.enter_context(open(path, "rb", buffering=0))
        if kind == NPZ:
            archive = stack.enter_context(zipfile.ZipFile(path))
            info = array_members(path, archive)[header.key]
            if header.compressed:
                file = stack.enter_context(archive.open(info))
            else:
                file = _StoredMember(file, member_start(path, info), info)
        npy_header(path, file, header.key, info.file_size if kind == NPZ else path.stat().st_size)

        def read_rows(rows: slice) -> np.ndarray:
            block = np.empty((rows.stop - rows.start, *header.shape[1:]), header.dtype)
            _read_into(file, block)
            if rows.stop == header.shape[0]:
                file.read(1)  # reaching the end makes zipfile compare the checksum
            return block

        yield read_rows


class _StoredMember(io.RawIOBase):
    """A stored member's bytes, straight from the file (zipfile copies them about); compares the checksum at the end."""

    def __init__(self, file: io.RawIOBase, start: int, info: zipfile.ZipInfo) -> None:
        file.seek(start)
        self._file, self._info = file, info
        self._position = self._checksum = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, target) -> int:
        with memoryview(target)[:self._info.file_size - self._position] as wanted:
            count = self._file.readinto(wanted) or 0
            self._checksum = zlib.crc32(wanted[:count], self._checksum)
        self._position += count
        if self._position == self._info.file_size and self._checksum != self._info.CRC:
            raise zipfile.BadZipFile(f"the checksum of {self._info.filename} does not match its data")
        return count


def _read_into(file: Any, block: np.ndarray) -> None:
    """Fill `block` from a file that has `readinto`."""
    target = block.reshape(-1).view(np.uint8).data
    filled = 0
    while filled < len(target):
        count = file.readinto(target[filled:])
        if not count:
            raise EOFError("the data ends early")
        filled += count


class Sink:
    """Takes an array block by block along axis 0 and writes it to a file at once, in C order."""

    def __init__(self, file: IO[bytes], key: str, shape: Sequence[int], dtype: DTypeLike) -> None:
        self._file, self._key, self._dtype = file, key, np.dtype(dtype)
        self._shape = tuple(int(length) for length in shape)  # numpy's integers would be written with their type's name
        self._rows = 0
        description = {"descr": npy_format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": self._shape}
        npy_format.write_array_header_1_0(file, description)

    def append(self, block: np.ndarray) -> None:
        """Write the next rows, shape (rows, *shape[1:]) and exactly the announced dtype.

        Raises:
            ValueError: another shape or dtype than announced, or more rows than announced.
        """
        if block.shape[1:] != self._shape[1:] or block.ndim != len(self._shape) or block.dtype != self._dtype:
            raise ValueError(f"'{self._key}' takes blocks of (rows, {', '.join(map(str, self._shape[1:]))}) "
                             f"{self._dtype}, not {block.shape} {block.dtype}")
        self._rows += len(block)
        if self._rows > self._shape[0]:
            raise ValueError(f"'{self._key}' was announced with {self._shape[0]} rows and now gets {self._rows}")
        if block.size:
            self._file.write(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)

    def append_single(self, value: np.ndarray) -> None:
        """Write the one value of an array without axes."""
        if self._shape or value.dtype != self._dtype:
            raise ValueError(f"'{self._key}' takes {self._dtype} of shape {self._shape}, not a single {value.dtype}")
        self._file.write(value.tobytes())

    def finish(self) -> None:
        """Check that all announced rows have come.

        Raises:
            ValueError: rows are missing.
        """
        if self._shape and self._rows != self._shape[0]:
            raise ValueError(f"'{self._key}' was announced with {self._shape[0]} rows and got {self._rows}")


class NpzWriter:
    """Writes an uncompressed `.npz` archive of any size in constant memory; the file appears whole or not at all.

    Members are written one after another, with their data on 64-byte boundaries so that it can be mapped in place.
    The same arrays give the same bytes: no time stamps are kept.

        with NpzWriter("clips.npz") as writer:
            with writer.member("x_train", (40091, 3, 300, 25, 2), np.float32) as sink:
                for block in source:
                    sink.append(block)
            writer.write("y_train", labels)
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path

    def __enter__(self) -> NpzWriter:
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self._path))
            self._file = stack.enter_context(open(temporary, "w+b"))
            self._zip = stack.enter_context(zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exception) -> bool | None:
        return self._open.__exit__(*exception)

    @contextmanager
    def member(self, key: str, shape: Sequence[int], dtype: DTypeLike) -> Iterator[Sink]:
        """Open the array `key` for writing; one at a time.

        Raises:
            ValueError: the key is already in the archive, or the rows written do not match `shape`.
        """
        name = f"{key}.npy"
        if name in self._zip.namelist():
            raise ValueError(f"'{key}' is already in the archive")
        info = zipfile.ZipInfo(name)  # dated 1980: reproducible
        info.external_attr = 0o644 << 16
        info.extra = self._padding(name)
        with self._zip.open(info, "w", force_zip64=True) as file:
            sink = Sink(file, key, shape, dtype)
            yield sink
            sink.finish()

    def write(self, key: str, array: np.ndarray) -> None:
        """Write a whole array; a single number or string has no axis."""
        with self.member(key, array.shape, array.dtype) as sink:
            _append_all(sink, array)

    def _padding(self, name: str) -> bytes:
        """Return an extra field that moves the member's data to a multiple of 64 (npy headers are one as well)."""
        start = self._file.tell() + _LOCAL_HEADER_BYTES + len(name.encode()) + _ZIP64_EXTRA_BYTES + 4
        return struct.pack("<HH", _PADDING_EXTRA_ID, -start % ALIGNMENT) + bytes(-start % ALIGNMENT)


@contextmanager
def create_npy(path: str | Path, shape: Sequence[int], dtype: DTypeLike) -> Iterator[Sink]:
    """Write a `.npy` file of `shape` block by block (`sink.append(block)`); the file appears whole or not at all.

    Raises:
        ValueError: the rows written do not match `shape`.
        UserError: the file cannot be written.
    """
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            sink = Sink(file, Path(path).name, shape, dtype)
            yield sink
            sink.finish()


def _append_all(sink: Sink, array: np.ndarray) -> None:
    if not array.ndim:
        sink.append_single(array)
        return
    row_bytes = math.prod(array.shape[1:]) * array.dtype.itemsize
    for rows in blocks(len(array), row_bytes):
        sink.append(array[rows])


def conversion_command(path: str | Path) -> str:
    """Return the command line that makes a stored float32 archive of an NTU archive which cannot be mapped."""
    output = Path(path).with_name(f"{Path(path).stem}_ctrgcn.npz")
    return shlex.join(["python3", "convert_ntu60_kaggle_to_ctrgcn.py", "--input", str(path), "--output", str(output)])


def _unmappable(path: Path, header: ArrayHeader) -> str:
    """Say why an array cannot be mapped, and what makes it so."""
    if kind_of(path) == HDF5:
        return f"{path}: '{header.key}' is packed or in pieces and cannot be mapped; save it with numpy.savez"
    ntu = header.key in ("x_train", "y_train", "x_test", "y_test")
    fix = f"unpack it once: {conversion_command(path)}" if ntu else "save it with numpy.savez"
    return f"{path}: '{header.key}' is deflated (numpy.savez_compressed) and cannot be mapped; {fix}"
