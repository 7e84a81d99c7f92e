"""Files that `torch.save` wrote, anybody's: read without running anything.

PyTorch's own safe reader (`weights_only=True`) comes first. It refuses what most checkpoints of other people hold
beside the weights: NumPy numbers and arrays, which are no danger, and now and then an object of their code. Such files
are read here with the unpickler of plain data (`skeleton_lab.pickles`) and, for tensors, a few recipes more; whatever
else a file names is never looked up, let alone called: an inert `ForeignObject` stands in for it.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from skeleton_lab.errors import UserError
from skeleton_lab.pickles import BareDict, Parts, PlainUnpickler, Recipe, Refused, check_places, plain

_DOS_FOLDER = 0x10  # the attribute by which readers take a member of a zip file for a folder
_MOST_SHOWN = 100  # characters of a name in the file
_LEGACY_PICKLES = 5  # in a file of that form: the number, version, machine, content, and names of storages
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # torch.save's before PyTorch 1.6
_STORAGES = {"DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
             "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
             "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
             "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64,
             "ComplexDoubleStorage": torch.complex128}
ADVICE = "where the file was made, save the weights alone: torch.save(model.state_dict(), PATH)"


class ForeignObject:
    """Stands in for an object of a type that is no plain data; knows the type's name, ignores its content."""

    type_name = ""

    def __new__(cls, *args: Any, **options: Any) -> ForeignObject:
        return super().__new__(cls)

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass

    append = extend


def read_torch_file(path: str | Path, foreign: bool = False) -> Any:
    """Load a torch file of tensors and plain data onto the CPU; nothing in it can run code.

    Args:
        path: the file.
        foreign: let objects of other types stand in it, as `ForeignObject`, instead of refusing the file.

    Returns:
        Tensors, numpy arrays and numbers, and plain data, in dicts, lists and tuples.

    Raises:
        UserError: the file is missing, damaged, or holds more than tensors and plain data.
    """
    try:
        if zipfile.is_zipfile(path):
            _check_members(path)
        _check_pickles(Path(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols and escapes, in a file that is no pickle
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError:
                return _read_others(Path(path), foreign)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); check the path and its permissions") from None
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise UserError(f"{path}: cannot read it as weights ({_reason(error)}); copy or download it again") from None


def _check_members(path: str | Path) -> None:
    """Raise BadZipFile where a torch file is not as torch wrote it; torch itself would load it without a word."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.filename.endswith("/constants.pkl") for member in members):
            raise zipfile.BadZipFile("a TorchScript program, not weights")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise zipfile.BadZipFile("torch never packs what it saves")
        if any(member.external_attr & _DOS_FOLDER for member in members):
            raise zipfile.BadZipFile("torch saves no folders")  # PyTorch 2.3 would not fill the tensor
        if archive.testzip():
            raise zipfile.BadZipFile("its content does not match its checksums")


def _check_pickles(path: Path) -> None:
    """Refuse what would take PyTorch's reader memory or time out of proportion; whatever else is wrong, it tells."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        content = archive.read(name)
                        check_places(io.BytesIO(content), len(content))
        else:
            size = path.stat().st_size
            with open(path, "rb") as file:
                for _ in range(_LEGACY_PICKLES):
                    check_places(file, size)
    except Refused as refused:
        raise UserError(f"{path}: refused, nothing was run: it holds {refused}; {ADVICE}") from None
    except OSError:
        raise
    except Exception:  # damaged, or no pickle: PyTorch's reader says so
        return


def _read_others(path: Path, foreign: bool) -> Any:
    """Read what PyTorch's safe reader refuses, or say why it cannot be read."""
    try:
        content = _unpickle_zip(path) if zipfile.is_zipfile(path) else _unpickle_stream(path)
    except Refused as refused:
        raise UserError(f"{path}: refused, nothing was run: it holds {refused}; {ADVICE}") from None
    except Exception as error:  # a damaged file raises nearly anything
        raise UserError(f"{path}: holds more than tensors and plain data, or is damaged ({_reason(error)}); copy it "
                        f"again, or {ADVICE}") from None
    found = None if foreign else _first_foreign(content)
    if found is not None:
        place, type_name = found
        where = f"under the key '{place}' it holds" if place else "it is"
        raise UserError(f"{path}: refused, nothing was run: {where} an object made by {type_name}, neither tensors nor "
                        f"plain data; {ADVICE}")
    return content


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _first_foreign(content: Any) -> tuple[str, str] | None:
    """Return where in `content` a foreign object is, and the name of its type; None where there is none."""
    pending, seen = [("", content)], {id(content)}
    while pending:
        place, value = pending.pop()
        if isinstance(value, ForeignObject | type):
            return place, getattr(value, "type_name", "")
        in_order = enumerate(value) if isinstance(value, list | tuple) else ()
        items = value.items() if isinstance(value, dict) else in_order
        for key, item in items:
            below = f"{place}.{shown(key)}" if place else shown(key)
            new = [(place, key), (below, item)]
            pending += [(where, part) for where, part in new if id(part) not in seen]
            seen |= {id(part) for _, part in new}
    return None


def shown(key: Any) -> str:
    """Return a key of a file as it can be printed."""
    return str(key)[:_MOST_SHOWN] if isinstance(key, str | int) else type(key).__name__


# ---- Unpickling --------------------------------------------------------------------------------------


class _Storage:
    """The numbers that tensors of a file share; a file cannot alter it."""

    __slots__ = ("values",)

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def __setstate__(self, state: Any) -> None:
        raise Refused("an attempt to alter the reader")


class _Tensor(Parts):
    """A tensor as views of a storage are saved: built when the whole file has been read."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: Any) -> None:
        self._parts = parts

    def __setstate__(self, state: Any) -> None:
        raise Refused("a tensor in an unknown form")

    def build(self) -> torch.Tensor:
        storage, offset, shape, strides = self._parts
        if not isinstance(storage, _Storage):
            raise Refused("a tensor in an unknown form")
        return torch.as_strided(storage.values, shape, strides, offset)


class _Kind:
    """The type of a storage."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        raise Refused("an attempt to alter the reader")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


def _storage_from_bytes(content: Any) -> _Storage:
    """Return the storage in a pickle within the pickle, as tensors are written by `pickle.dump`."""
    if not isinstance(content, bytes):
        raise Refused("a tensor in an unknown form")
    storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(storage, torch.storage.TypedStorage):
        raise Refused("a tensor in an unknown form")
    return _Storage(torch.empty(0, dtype=storage.dtype).set_(storage))


def _device(*parts: Any) -> str:
    if not all(isinstance(part, str | int) for part in parts):
        raise Refused("a device in an unknown form")
    return ":".join(map(str, parts))


_TENSOR_RECIPES: dict[tuple[str, str], Recipe] = {
    ("torch._utils", "_rebuild_tensor_v2"): Recipe(_tensor),
    ("torch._utils", "_rebuild_tensor"): Recipe(_tensor),
    ("torch._utils", "_rebuild_parameter"): Recipe(lambda tensor, *rest: tensor),
    ("torch._utils", "_rebuild_parameter_with_state"): Recipe(lambda tensor, *rest: tensor),
    ("torch.storage", "_load_from_bytes"): Recipe(_storage_from_bytes),
    ("torch", "Size"): Recipe(lambda lengths=(): tuple(lengths)),
    ("torch", "device"): Recipe(_device),
    ("collections", "OrderedDict"): Recipe(BareDict),
    ("collections", "Counter"): Recipe(BareDict),
    ("collections", "defaultdict"): Recipe(lambda factory=None, *items: BareDict(*items)),
}


class _TensorUnpickler(PlainUnpickler):
    """An unpickler of plain data and tensors, with inert objects for all else."""

    def __init__(self, file: BinaryIO, storage: Callable[[torch.dtype, str, int], _Storage]) -> None:
        super().__init__(file, encoding="latin-1")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        module = "builtins" if module == "__builtin__" else module
        if module in ("torch", "torch.cuda") and name in _STORAGES:
            return _Kind(_STORAGES[name])
        if (module, name) in _TENSOR_RECIPES:
            return _TENSOR_RECIPES[module, name]
        try:
            return super().find_class(module, name)
        except Refused:
            called = f"{module}.{name}".encode("unicode_escape").decode()[:_MOST_SHOWN]
            return type("Foreign", (ForeignObject,), {"type_name": called})

    def persistent_load(self, identifier: Any) -> Any:
        if isinstance(identifier, tuple) and len(identifier) > 1 and identifier[0] == "module":
            return identifier[1]  # a class, beside which PyTorch before 1.6 kept its source
        if not isinstance(identifier, tuple) or len(identifier) < 5 or not isinstance(identifier[1], _Kind):
            raise Refused("a reference to something else than numbers")
        kind, key, _, count = identifier[1:5]
        if any(part is not None for part in identifier[5:]):
            raise Refused("a view of a storage, as only PyTorch before 0.4 saved")
        if type(count) is not int or count < 0:
            raise Refused("a storage of an impossible size")
        return self._storage(kind.dtype, str(key), count)


def _loaded(file: BinaryIO, size: int, storage: Callable[[torch.dtype, str, int], _Storage]) -> Any:
    """Unpickle what begins where `file` is open, once its claims are checked; leave the file where it ends."""
    start = file.tell()
    check_places(file, size)
    file.seek(start)
    return _TensorUnpickler(file, storage).load()


def _unpickle_zip(path: Path) -> Any:
    """Read a file of PyTorch since 1.6: a zip archive of one pickle and one member a storage."""
    storages: dict[str, _Storage] = {}
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("a zip archive, but not one of torch.save")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise Refused("numbers of a big-endian machine")

        def storage(dtype: torch.dtype, key: str, count: int) -> _Storage:
            if key not in storages:
                content = archive.read(f"{folder}data/{key}")
                if len(content) != count * dtype.itemsize:
                    raise Refused("a storage whose size and content differ")
                storages[key] = _Storage(_numbers(content, dtype))
            return storages[key]

        content = archive.read(pickles[0])
        return plain(_loaded(io.BytesIO(content), len(content), storage), (ForeignObject, type))


def _numbers(content: bytes, dtype: torch.dtype) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _unpickle_stream(path: Path) -> Any:
    """Read a file of PyTorch before 1.6, pickles one after the other and then the storages; or a plain pickle."""
    content = path.read_bytes()
    file, size = io.BytesIO(content), len(content)
    storages: dict[str, _Storage] = {}

    def storage(dtype: torch.dtype, key: str, count: int) -> _Storage:
        if count * dtype.itemsize > size:
            raise Refused("a storage larger than the file")
        if key not in storages:
            storages[key] = _Storage(torch.zeros(count, dtype=dtype))
        return storages[key]

    first = _loaded(file, size, storage)
    if first != _MAGIC_NUMBER:
        return plain(first, (ForeignObject, type))
    _loaded(file, size, storage)  # the version of the format
    if not plain(_loaded(file, size, storage)).get("little_endian", True):
        raise Refused("numbers of a big-endian machine")
    saved = _loaded(file, size, storage)
    for key in plain(_loaded(file, size, storage)):
        values = storages[str(key)].values
        count = int.from_bytes(file.read(8), "little")
        numbers = file.read(count * values.itemsize)
        if count != len(values) or len(numbers) != values.nbytes:
            raise ValueError("a storage is cut short")
        values.copy_(_numbers(numbers, values.dtype))
    return plain(saved, (ForeignObject, type))
