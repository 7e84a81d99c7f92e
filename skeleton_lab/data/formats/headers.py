"""What `.npz`, `.npy` and `.h5` files say of the arrays they hold: shapes, types and places, without reading data.

Nothing in a file is trusted: sizes are checked against the file before anything is mapped or allocated, pickled
objects are refused, headers go through numpy's own literal reader. Every complaint is a one-line `UserError`.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy_format

from skeleton_lab.errors import UserError, suggest

MAX_HEADER_BYTES = 10_000  # numpy's own limit for what its literal parser may be given
MAX_DIMENSIONS = 32
MAX_INFLATION = 1032  # deflate packs at most 258 bytes into 2 bits
MAX_FILLED_BYTES = 1 << 28  # of an .h5 file's array that was never written, which reads as zeros
NPZ, NPY, HDF5 = "npz", "npy", "h5"

_MAGIC = {b"PK\x03\x04": NPZ, b"PK\x05\x06": NPZ, b"\x93NUM": NPY, b"\x89HDF": HDF5}
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 0x1
_READ_ERRORS = (OSError, EOFError, ValueError, RuntimeError, OverflowError, struct.error, zlib.error)


@dataclass(frozen=True)
class ArrayHeader:
    """What a file says of one array, without its data.

    Attributes:
        key: the name in the archive; "" for a `.npy` file.
        shape: the lengths of its axes.
        dtype: the element type, byte order included.
        fortran_order: True if the first axis runs fastest in the file.
        offset: byte position of the first element in the file; None if the data does not lie there in one plain piece.
        compressed: True if the data must be unpacked to be read (so it cannot be mapped).
        nbytes: bytes of the array in memory.
    """

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    offset: int | None
    compressed: bool
    nbytes: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one entry of axis 0."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def kind_of(path: str | Path) -> str:
    """Return "npz", "npy" or "h5", by the file's first bytes.

    Raises:
        UserError: there is no such file, it cannot be read, or it is none of the three.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a file; name the .npz, .npy or .h5 file in it")
    if path.is_symlink() and not path.exists():
        raise UserError(f"{path}: is a link to {path.readlink()}, which is not there; mend it or mount its folder")
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path, and in a container that the data folder is mounted")
    with reading(path), open(path, "rb") as file:
        magic = file.read(4)
    if magic in _MAGIC:
        return _MAGIC[magic]
    what = "is empty" if not magic else "is not a .npz, .npy or .h5 file, or its beginning is damaged"
    raise UserError(f"{path}: {what}; copy or download it again")


def list_arrays(path: str | Path) -> dict[str, ArrayHeader]:
    """Return the headers of the arrays in a `.npz`, `.npy` (key "") or `.h5` file, in file order; reads no data.

    Raises:
        UserError: the file is missing, truncated or damaged, holds pickled objects or no array at all.
    """
    path = Path(path)
    kind = kind_of(path)
    with reading(path):
        if kind == NPY:
            with open(path, "rb") as file:
                return {"": npy_header(path, file, "", path.stat().st_size)}
        if kind == HDF5:
            return _hdf5_headers(path)
        with zipfile.ZipFile(path) as archive:
            members = array_members(path, archive)
            return {key: _member_header(path, archive, info, key) for key, info in members.items()}


def find_array(path: str | Path, key: str = "") -> ArrayHeader:
    """Return the header of one array of a file.

    Raises:
        UserError: as `list_arrays`, or there is no such key.
    """
    headers = list_arrays(path)
    if key not in headers:
        raise UserError(f"{path}: has no array '{key}', only {names_of(headers)}{suggest(key, headers)}")
    return headers[key]


def names_of(headers: dict[str, ArrayHeader]) -> str:
    """Return the keys of a file for an error message."""
    names = [key or "one unnamed array" for key in headers]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes the readers raise into one line."""
    try:
        yield
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: is damaged or not complete ({error}); copy or download it again") from error
    except PermissionError as error:
        raise UserError(f"{path}: may not be read ({error.strerror}); check its permissions") from error
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read, it is damaged ({reason}); copy or download it again") from error


def array_members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's array members by key; refuse encrypted, doubled and oddly named ones."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename
        if "\\" in name or name.startswith("/") or ".." in name.split("/") or not name.isprintable():
            raise UserError(f"{path}: holds a member with the suspicious name {name!r}; get it from its source again")
        if not name.endswith(".npy"):
            continue
        if info.flag_bits & _ENCRYPTED:
            raise UserError(f"{path}: '{name}' is encrypted; decrypt the archive first")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{path}: '{name}' is packed in a way numpy never uses; save it again with numpy.savez")
        key = name[:-len(".npy")]
        if key in members:
            raise UserError(f"{path}: holds '{key}' twice; it is damaged, or two archives were joined; make it again")
        members[key] = info
    if not members:
        others = ", ".join(archive.namelist()[:3]) or "nothing"
        raise UserError(f"{path}: holds no arrays but {others}; if that is a zipped download, unzip it first")
    return members


def _member_header(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: str) -> ArrayHeader:
    """Return the header of one zip member, with the place of its data in the archive if it is stored."""
    compressed = info.compress_type != zipfile.ZIP_STORED
    start = member_start(path, info)
    if start + info.compress_size > archive.start_dir or (not compressed and info.compress_size != info.file_size):
        raise UserError(f"{path}: '{key}' runs past its place in the archive; it is truncated or damaged, copy or "
                        "download it again")
    if info.file_size > MAX_INFLATION * (info.compress_size + 1):
        raise UserError(f"{path}: '{key}' claims to unpack from {info.compress_size} bytes to {info.file_size}; "
                        "it is damaged, copy or download it again")
    with archive.open(info) as file:
        header = npy_header(path, file, key, info.file_size)
        offset = None if compressed else start + file.tell()
    return replace(header, offset=offset, compressed=compressed)


def member_start(path: Path, info: zipfile.ZipInfo) -> int:
    """Return the position of a member's (packed) data: its local header has a name and an extra field of its own."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        local = file.read(_LOCAL_HEADER_BYTES)
    if len(local) < _LOCAL_HEADER_BYTES or local[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no member where '{info.filename}' should begin")
    name_bytes, extra_bytes = struct.unpack("<HH", local[26:30])
    return info.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes


def npy_header(path: Path, file: IO[bytes] | io.RawIOBase, key: str, available: int) -> ArrayHeader:
    """Parse an npy header at the start of `file`, of which `available` bytes are there; check it against them."""
    name = f"{path}: '{key}'" if key else str(path)
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise UserError(f"{name} is in npy format {version[0]}.{version[1]}, which is for records; save plain numbers")
    length_bytes = file.read(2 if version == (1, 0) else 4)
    header_bytes = int.from_bytes(length_bytes, "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise UserError(f"{name} has a header of {header_bytes} bytes (at most {MAX_HEADER_BYTES}); it is damaged, "
                        "copy or download it again")
    text = io.BytesIO(length_bytes + file.read(header_bytes))
    read_header = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "created on Python 2": read all the same
            shape, fortran_order, dtype = read_header(text, max_header_size=MAX_HEADER_BYTES)
    except (ValueError, TypeError, SyntaxError, KeyError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise UserError(f"{name} has no readable array header; it is damaged, copy or download it again") from error
    if dtype.hasobject:
        raise UserError(f"{name} holds pickled Python objects, which are never loaded; save it as plain numbers")
    nbytes = math.prod(shape) * dtype.itemsize
    if (dtype.itemsize == 0 or dtype.subdtype is not None or len(shape) > MAX_DIMENSIONS
            or any(type(length) is not int or length < 0 for length in shape)
            or math.prod(length or 1 for length in shape) * dtype.itemsize >= 1 << 63):
        raise UserError(f"{name} claims the impossible shape {shape} of {dtype}; it is damaged, copy or download "
                        "it again")
    offset = file.tell()
    if offset + nbytes > available:
        raise UserError(f"{name} should hold {nbytes} bytes for its shape {shape} but only {available - offset} are "
                        "there; it is truncated, copy or download it again")
    return ArrayHeader(key, shape, dtype, fortran_order, offset, False, nbytes)


def import_h5py(path: Path):
    """Import h5py, which only `.h5` files need."""
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{path}: reading .h5 files needs h5py; run: pip install h5py") from error
    return h5py


def _refuse_tricks(path: Path, key: str, node) -> None:
    """Refuse a data set whose data lies in other files, whatever they are, or is far more than its file can hold."""
    if node.external or node.is_virtual:
        raise UserError(f"{path}: '{key}' takes its data from other files; save it into one file")
    nbytes, stored = node.size * node.dtype.itemsize, node.id.get_storage_size()
    if nbytes > max(MAX_INFLATION * stored, MAX_FILLED_BYTES):
        raise UserError(f"{path}: '{key}' claims {nbytes} bytes, of which {stored} are stored; it is damaged, copy or "
                        "download it again")


def _hdf5_headers(path: Path) -> dict[str, ArrayHeader]:
    """Return the headers of the data sets that lie in an `.h5` file itself (links to other files are not followed)."""
    h5py = import_h5py(path)
    headers: dict[str, ArrayHeader] = {}

    def visit(key: str, node) -> None:
        if isinstance(node, h5py.Dataset) and node.shape is not None:
            _refuse_tricks(path, key, node)
            plain = node.compression is None and not node.dtype.hasobject  # strings of any length are objects
            headers[key] = ArrayHeader(key, node.shape, node.dtype, False, node.id.get_offset() if plain else None,
                                       node.compression is not None, node.size * node.dtype.itemsize)

    with h5py.File(path, "r") as file:
        try:
            file.visititems(visit)
        except (KeyError, TypeError) as error:  # damage, to h5py
            raise ValueError(error) from error
    if not headers:
        raise UserError(f"{path}: holds no arrays; check that it is the right file")
    return headers
