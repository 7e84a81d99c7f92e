"""Descriptors of samples, of their video or of a text: an HDF5 file of one array for each sample name.

    with h5py.File("descriptors.h5", "w") as file:
        for name, vector in ...:
            file[name] = vector  # float16 or float32, (D,), or (T, D) for T moments of the clip

D is the same for all samples, T need not be. The name is that of the sample less folders and ".skeleton". The arrays
lie in the file as they are, neither packed nor in pieces, which is how h5py writes them: reading one then takes the
memory it claims and no more, whoever made the file. Float vectors hardly shrink by packing anyway.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from skeleton_lab.data.formats.headers import HDF5, import_h5py, kind_of, reading
from skeleton_lab.errors import UserError

MAX_WIDTH = 1 << 16
MAX_VALUES = 1 << 22  # of one sample, T*D
_SHOWN_NAMES = 4
_SUFFIX = ".skeleton"


class Descriptors(Dataset[np.ndarray]):
    """The descriptors of a file, by sample name: read when asked for, in whichever process asks.

    Attributes:
        path: the file. width: D.

    Raises:
        UserError: the file is missing, damaged, or no file of descriptors.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if kind_of(self.path) != HDF5:
            raise UserError(f"{self.path}: is not an HDF5 file; descriptors are one array a sample in an .h5 file")
        self._file: Any = None
        self._process = 0
        try:
            with self._opened() as file:
                first = next(iter(file), None)
                if first is None:
                    raise UserError(f"{self.path}: holds no descriptors; write one array for each sample name")
                self.width = self._array(file, first).shape[-1]
        finally:
            self.close()

    def __len__(self) -> int:
        with self._opened() as file:
            return len(file)

    def __contains__(self, name: str) -> bool:
        with self._opened() as file:
            return key_of(name) in file

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a sample's descriptor (D,) float32: its vector, or the mean of its T vectors.

        Raises:
            UserError: the file has none for this name, or one that is not usable.
        """
        return self.read(name).mean(axis=0)

    def read(self, name: str) -> np.ndarray:
        """Return a sample's vectors as they are in the file, (T, D) float32; T is 1 for a single one.

        Raises:
            UserError: as `[name]`.
        """
        key = key_of(name)
        with self._opened() as file:
            if key not in file:
                raise UserError(f"{self.path}: has no descriptor of sample '{key}'; {self._advice()}")
            array = self._array(file, key)
            if array.shape[-1] != self.width:
                raise UserError(f"{self.path}: the descriptor of '{key}' has {array.shape[-1]} numbers, others "
                                f"{self.width}; write vectors of one length")
            vectors = array[()].astype(np.float32).reshape(-1, self.width)
        if not np.isfinite(vectors).all():
            raise UserError(f"{self.path}: the descriptor of '{key}' holds NaN or infinite values; make it anew")
        return vectors

    def form(self, name: str) -> tuple[tuple[int, ...], str]:
        """Return the shape of a sample's array in the file, (D,) or (T, D), and its number format.

        Raises:
            UserError: as `[name]`.
        """
        with self._opened() as file:
            array = self._array(file, key_of(name))
            return array.shape, array.dtype.name

    def names(self) -> list[str]:
        """Return the names of all arrays in the file."""
        with self._opened() as file:
            return list(file)

    def require(self, names: Iterable[str], what: str) -> None:
        """Make sure that each of `names` has a descriptor; looks at none of them.

        Raises:
            UserError: some have not; the message counts them and calls their data set `what`.
        """
        keys = [key_of(name) for name in names]
        with self._opened() as file:
            missing = [key for key in keys if key not in file]
        if missing:
            raise UserError(f"{self.path}: has no descriptor of {len(missing)} of the {len(keys)} samples of {what} "
                            f"({listed(missing)}); {self._advice()}")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file out: another process opens its own."""
        return {**vars(self), "_file": None}

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Yield this process's own handle of the file; turn what damage makes h5py raise into one line."""
        with reading(self.path):
            try:
                if self._file is None or self._process != os.getpid():
                    self._file, self._process = import_h5py(self.path).File(self.path, "r"), os.getpid()
                yield self._file
            except (KeyError, TypeError) as error:  # damage, to h5py
                raise ValueError(error) from error

    def close(self) -> None:
        """Close the file, which the next read opens again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    def _array(self, file: Any, key: str) -> Any:
        """Return the array (an h5py data set) of a key, after making sure that reading it is harmless."""
        name, h5py = f"{self.path}: '{key}'", import_h5py(self.path)
        if not isinstance(file.get(key, getlink=True), h5py.HardLink):
            raise UserError(f"{name} is a link, to another file perhaps; write the vectors into one file")
        array = file[key]
        if not isinstance(array, h5py.Dataset):
            raise UserError(f"{name} is not an array but a group of them; the file is flat: one array a sample name")
        if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4):
            raise UserError(f"{name} is {array.dtype}; descriptors are float16 or float32")
        shape = array.shape
        if shape is None or len(shape) not in (1, 2) or 0 in shape:
            raise UserError(f"{name} has the shape {shape}; a descriptor is (D,), or (T, D) for T moments")
        if shape[-1] > MAX_WIDTH or array.size > MAX_VALUES:
            raise UserError(f"{name} has the shape {shape}; at most {MAX_WIDTH} numbers a vector and {MAX_VALUES} a "
                            "sample are read")
        if array.chunks is not None or array.external or array.is_virtual:
            raise UserError(f"{name} is packed, in pieces or in other files; write it plainly, as file[name] = vector "
                            "does")
        if array.id.get_storage_size() != array.nbytes:
            raise UserError(f"{name} should hold {array.nbytes} bytes but {array.id.get_storage_size()} are stored; it "
                            "was never written, or is damaged")
        return array

    def _advice(self) -> str:
        return "compare it with the data: dataset_tools/check_descriptors.py"


def key_of(name: object) -> str:
    """Return the name that a sample's array has in the file: without folders and ".skeleton"."""
    return str(name).rpartition("/")[2].removesuffix(_SUFFIX)


def listed(names: list[str]) -> str:
    """Return a few of the names for a message."""
    return ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
