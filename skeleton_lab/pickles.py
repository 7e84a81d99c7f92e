"""Pickles that hold plain data and run nothing: label files and score files, ours and other people's.

A pickle is a program; `pickle.load` on a file from elsewhere runs whatever its author wrote. Here a
pickle can only build dicts, lists, tuples, strings, bytes, numbers, booleans, None and numpy arrays of
numbers or text. Numpy's own unpickling code is not used either: the few names that a pickled array
refers to lead to recipes of this module, which check sizes and types before they build the array.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import pickletools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skeleton_lab.errors import UserError
from skeleton_lab.files import replacing

MAX_BYTES = 2**30  # scores of NTU-120's 113,945 clips take 55 MB, of Kinetics' 240,000 training clips 390 MB
MAX_DEPTH = 32  # real files nest three deep
_MOST_EMPTY = 2**20  # entries of an empty array, counting an axis of length 0 as one
_LONGEST_NAME = 1000  # of a module and a type in it
_MOST_SHOWN = 100  # characters of a name in the file
PROTOCOL = 4  # what upstream's readers, on any Python 3, understand
PLAIN_TYPES = (str, bytes, int, float, bool, type(None))
PLAIN_KINDS = "biufcSU"  # numpy dtype kinds: booleans, integers, floats, complex numbers, bytes, text


class Refused(Exception):
    """The pickle asks for something that is not plain data; the message says what."""


class Parts:
    """What a pickle gave of an object that is built (`build`) once the whole pickle has been read and checked."""

    __slots__ = ()

    def build(self) -> Any:
        raise NotImplementedError


class BareDict(dict[Any, Any]):
    """What a pickle gave of a kind of dict, such as OrderedDict, without the attributes that such objects can have."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


# ---- What a pickled numpy array refers to ------------------------------------------------------------


class Recipe:
    """A function that a pickle may call; unlike a Python function, the pickle cannot alter it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise Refused("an attempt to alter the reader")


class _Dtype:
    """A pickled numpy dtype: type code first, byte order and text width with the state that follows."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any) -> None:
        if not isinstance(code, str) or code[:1] not in "?" + PLAIN_KINDS:
            raise Refused(f"a numpy array of type {code!r}")
        self.code = code
        self.order: Any = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 4 else None
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise Refused("a numpy array of a structured type")
        self.order = order

    def build(self) -> np.dtype[Any]:
        dtype = np.dtype(self.code)
        if dtype.kind not in PLAIN_KINDS or dtype.hasobject:
            raise Refused(f"a numpy array of type {self.code!r}")
        return dtype.newbyteorder(self.order)


class _Array(Parts):
    """A pickled numpy array or numpy number, built once the whole pickle has been read."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: Any) -> None:
        self._parts = parts  # (shape, dtype, is Fortran order, raw bytes); filled by __setstate__ if empty

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise Refused("a numpy array in an unknown form")
        self._parts = state[-4:]  # a version number may stand first

    def build(self) -> np.ndarray[Any, Any]:
        if len(self._parts) != 4:
            raise Refused("a numpy array without content")
        shape, dtype, fortran_order, raw = self._parts
        if isinstance(raw, str):  # Python 2 wrote the bytes as a string
            raw = raw.encode("latin-1")
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes | bytearray):
            raise Refused("a numpy array in an unknown form")
        if not isinstance(shape, tuple) or not all(type(length) is int for length in shape):
            raise Refused("a numpy array without a shape")
        plain_dtype = dtype.build()
        if min(shape, default=0) < 0 or math.prod(shape) * plain_dtype.itemsize != len(raw):
            raise Refused("a numpy array whose shape and content differ")
        if not raw and math.prod(length or 1 for length in shape) > _MOST_EMPTY:
            raise Refused("an empty numpy array of an absurd shape")
        array = np.empty(shape, plain_dtype, order="F" if fortran_order else "C")
        array.reshape(-1, order="A")[...] = np.frombuffer(raw, array.dtype) if raw else ()
        if array.dtype.kind == "U" and raw:
            codes = np.frombuffer(raw, np.dtype(np.uint32).newbyteorder(dtype.order))
            if codes.max() > sys.maxunicode:
                raise Refused("a numpy array of text that is no text")
        return array


class _Scalar(_Array):
    """A pickled numpy number."""

    __slots__ = ()

    def build(self) -> Any:
        return super().build()[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("a string in an unknown encoding")
    return text.encode("latin-1")


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    return _Array(shape, dtype, order == "F", raw)


_NDARRAY = Recipe(lambda *args: _Array())  # named as the first argument of _reconstruct
RECIPES: dict[tuple[str, str], Recipe] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Recipe(lambda code, *flags: _Dtype(code)),
    ("_codecs", "encode"): Recipe(_encode),  # bytes, written by Python 3 in Python 2's protocol
    ("__builtin__", "bytes"): Recipe(lambda: b""),  # empty bytes, likewise
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    RECIPES[f"{_core}.multiarray", "_reconstruct"] = _NDARRAY
    RECIPES[f"{_core}.multiarray", "scalar"] = Recipe(lambda dtype, raw=None: _Scalar((), dtype, False, raw))
    RECIPES[f"{_core}.numeric", "_frombuffer"] = Recipe(_from_buffer)


def check_places(file: BinaryIO, size: int) -> None:
    """Refuse a pickle that names a place in the unpickler's memory beyond what its size can fill, or a type by a name
    of absurd length.

    The unpickler believes such numbers and allocates: a file of ten bytes can ask for all memory there is. (Lengths
    that the file does not hold are an error here already.) Over a name that it refuses PyTorch's reader spends the
    square of its length in seconds.

    Args:
        file: open where the pickle begins; left where it ends.
        size: bytes that the file has.
    """
    opcodes = {opcode.code: opcode for opcode in pickletools.opcodes}
    name = ""
    while name != "STOP":
        opcode = opcodes[file.read(1).decode("latin-1")]
        name = opcode.name
        if name == "STRING":  # Python 2's, of which the reader takes ASCII only
            file.readline()
        elif opcode.arg is not None:
            argument = opcode.arg.reader(file)
            if name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > size:
                raise Refused(f"it asks for memory out of proportion to its {size:,} bytes")
            if name in ("GLOBAL", "INST") and len(argument) > _LONGEST_NAME:
                raise Refused(f"a name of {len(argument):,} characters for a type")


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that calls nothing but `RECIPES`; what it returns is to go through `plain`."""

    def find_class(self, module: str, name: str) -> Any:
        recipe = RECIPES.get((module, name))
        if recipe is None:
            called = f"{module}.{name}".encode("unicode_escape").decode()  # a hostile name may hold anything
            raise Refused(f"it would call {called[:_MOST_SHOWN]}")
        return recipe

    def persistent_load(self, identifier: Any) -> Any:
        raise Refused("it refers to an object outside the file")


# ---- What the pickle built, as plain data ------------------------------------------------------------


def plain(value: Any, kept: tuple[type, ...] = ()) -> Any:
    """Return `value`, which an unpickler returned or a caller wants to write, with all `Parts` of objects built.

    Args:
        value: the value.
        kept: types that are let through as they are, besides plain data.

    Raises:
        Refused: it holds anything else than plain data.
    """
    return _plain(value, {}, 0, kept)


def _plain(value: Any, done: dict[int, Any], depth: int, kept: tuple[type, ...]) -> Any:
    """Do the work of `plain`; `done` holds results by identity, so that what is shared is built once.

    None marks a container under way.
    """
    kind = type(value)
    if kind in PLAIN_TYPES or isinstance(value, kept):
        return value
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in PLAIN_KINDS:
            raise Refused(f"a numpy array of type {value.dtype}")
        return value
    if id(value) in done:
        if done[id(value)] is None:
            raise Refused("a container that contains itself")
        return done[id(value)]
    if depth > MAX_DEPTH:
        raise Refused(f"containers nested deeper than {MAX_DEPTH}")
    done[id(value)] = None
    built: Any
    if isinstance(value, Parts):
        built = value.build()
    elif kind in (dict, BareDict):
        built = {_plain(key, done, depth + 1, kept): _plain(item, done, depth + 1, kept)
                 for key, item in value.items()}
    elif kind in (list, tuple):
        built = kind(_plain(item, done, depth + 1, kept) for item in value)
    else:
        raise Refused(f"an object of type {kind.__name__.strip('_')}")
    done[id(value)] = built
    return built


def load_plain_pickle(path: str | Path, max_bytes: int = MAX_BYTES) -> Any:
    """Read a pickle of plain data, of any protocol, written by Python 2 or 3; run nothing.

    Python-2 strings are decoded as Latin-1, as upstream does.

    Args:
        path: the pickle.
        max_bytes: refuse a larger file.

    Returns:
        dicts, lists, tuples, str, bytes, int, float, bool, None, numpy arrays and numbers.

    Raises:
        UserError: the file is missing, too large, damaged, or holds (or would run) anything else.
    """
    try:
        size = os.path.getsize(path)
        if size > max_bytes:
            raise UserError(f"{path}: {size:,} bytes, more than the {max_bytes:,} that a label or score file may have; "
                            "check that this is the right file")
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); check the path") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of escapes that Python 2 wrote
            check_places(io.BytesIO(content), len(content))
        return plain(PlainUnpickler(io.BytesIO(content), encoding="latin-1").load())
    except Refused as refused:
        raise UserError(f"{path}: refused, nothing was run: {refused}, and a label or score file holds plain data "
                        "only; make the file anew or get it from a source you trust") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise UserError(f"{path}: not a pickle, or a damaged one ({type(error).__name__}); "
                        "make it anew or copy it again") from error


def dump_plain_pickle(path: str | Path, value: Any) -> None:
    """Write plain data that `load_plain_pickle` can read, atomically.

    Raises:
        TypeError: `value` holds something else than plain data.
        UserError: the file cannot be written.
    """
    try:
        plain(value)
    except Refused as refused:
        raise TypeError(f"{path}: cannot write {refused}: not plain data") from None
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            pickle.dump(value, file, protocol=PROTOCOL)
