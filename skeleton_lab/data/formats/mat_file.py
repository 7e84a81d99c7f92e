"""One array of numbers out of a MATLAB file (version 5, as `save` has written since 1996, packed or not).

Read here and not by SciPy, whose reader ends the process where a file is damaged. Source: MathWorks, "MAT-File Format".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.face import REMEDY
from skeleton_lab.errors import UserError

MAGIC = b"MATLAB 5.0 MAT-file"
MAX_BYTES = 256 << 20  # of a file, unpacked
_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single and the whole numbers
_COMPLEX = 0x0800


@dataclass(frozen=True)
class _Element:
    """A part of a file: its type, its bytes, and how bytes are ordered ("<" or ">")."""

    kind: int
    content: bytes
    order: str

    def numbers(self) -> np.ndarray:
        """Return its content as an array (n,). Raises ValueError."""
        if self.kind not in _NUMBERS:
            raise ValueError(f"type {self.kind} where numbers belong")
        return np.frombuffer(self.content, self.order + _NUMBERS[self.kind])


def read_mat_array(path: Path, name: str) -> np.ndarray | None:
    """Return the array of real numbers `name` of a file, float64; None if there is none of that name.

    Raises:
        UserError: it cannot be read, is no such file, or is damaged.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); {REMEDY}") from error
    if len(content) > MAX_BYTES or not content.startswith(MAGIC) or content[126:128] not in (b"IM", b"MI"):
        raise UserError(f"{path}: is no readable .mat file of version 5; {REMEDY}")
    order = "<" if content[126:128] == b"IM" else ">"
    try:
        for element in _elements(content[_HEADER_BYTES:], order):
            if element.kind == _COMPRESSED:
                unpacked = zlib.decompressobj().decompress(element.content, MAX_BYTES)
                element = next(_elements(unpacked, order))
            array = _array(element, name) if element.kind == _MATRIX else None
            if array is not None:
                return array
    except (ValueError, StopIteration, zlib.error, OverflowError) as error:
        raise UserError(f"{path}: is no readable .mat file ({error or 'it ends early'}); {REMEDY}") from None
    return None


def _elements(content: bytes, order: str) -> Iterator[_Element]:
    """Yield the elements that lie one after the other. Raises ValueError where one is cut short."""
    place = 0
    while place < len(content):
        if len(content) - place < 8:
            raise ValueError("it ends inside a tag")
        kind, length = (int(word) for word in np.frombuffer(content, order + "u4", 2, place))
        start = place + 8
        if kind >> 16:  # a small one: its bytes stand in its tag
            kind, length, start = kind & 0xFFFF, kind >> 16, place + 4
        if start + length > len(content):
            raise ValueError("it ends inside an element")
        yield _Element(kind, content[start:start + length], order)
        place = start + length + (0 if kind == _COMPRESSED else -(start + length) % 8)


def _array(matrix: _Element, name: str) -> np.ndarray | None:
    """Return a matrix as float64 if it has this name and holds real numbers. Raises ValueError, StopIteration."""
    parts = _elements(matrix.content, matrix.order)
    flags = next(parts).numbers()
    lengths = next(parts).numbers().tolist()
    if next(parts).content.decode("latin-1") != name:
        return None
    if not len(flags) or (flags[0] & 0xFF) not in _NUMERIC_CLASSES or flags[0] & _COMPLEX:
        raise ValueError(f"'{name}' holds no real numbers")
    return next(parts).numbers().astype(np.float64).reshape(lengths, order="F")
