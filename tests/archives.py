"""Small archives for tests: NTU-like arrays, and huge ones that take no room on disk."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

KEYS = ("x_train", "y_train", "x_test", "y_test")


def kaggle_arrays(num_train: int = 7, num_test: int = 4, num_frames: int = 9, num_classes: int = 5) -> dict:
    """Return random arrays in the Kaggle layout: x (N, T, 150) float32, zeros behind, y (N, K) float64 one-hot."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", num_train), ("test", num_test)):
        x = rng.standard_normal((count, num_frames, 150)).astype(np.float32)
        for clip, valid in zip(x, rng.integers(1, num_frames + 1, count), strict=True):
            clip[valid:] = 0
        arrays[f"x_{split}"] = x
        arrays[f"y_{split}"] = np.eye(num_classes)[np.arange(count) % num_classes]
    return arrays


def converted_arrays(**sizes: int) -> dict:
    """Return the same clips in the converted layout: x (N, 3, T, 25, 2) float32, y (N,) int64; written out naively."""
    arrays = kaggle_arrays(**sizes)
    converted = {}
    for split in ("train", "test"):
        x = arrays[f"x_{split}"]
        clips = np.empty((len(x), 3, x.shape[1], 25, 2), np.float32)
        for body in range(2):
            for joint in range(25):
                for coordinate in range(3):
                    clips[:, coordinate, :, joint, body] = x[:, :, 75 * body + 3 * joint + coordinate]
        converted[f"x_{split}"] = clips
        converted[f"y_{split}"] = arrays[f"y_{split}"].argmax(axis=1)
    return converted


def write_sparse_npz(path: Path, arrays: dict[str, tuple[tuple[int, ...], str] | np.ndarray]) -> None:
    """Write a stored archive, of any size, as a sparse file: arrays, or zeros where only (shape, dtype) is given."""
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            if isinstance(array, np.ndarray):
                with archive.open(f"{key}.npy", "w") as file:
                    np.save(file, array)
                continue
            shape, dtype = array
            info = zipfile.ZipInfo(f"{key}.npy")
            info.header_offset = archive.fp.tell()
            header = npy_bytes(shape, dtype)
            nbytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
            info.file_size = info.compress_size = len(header) + nbytes
            info.CRC = crc32_of_zeros(nbytes, zlib.crc32(header))
            archive.fp.write(info.FileHeader(zip64=True) + header)
            archive.fp.seek(nbytes, 1)
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
            archive.start_dir = archive.fp.tell()
            archive._didModify = True


def crc32_of_zeros(count: int, crc: int) -> int:
    """Return the CRC-32 of data with checksum `crc` followed by `count` zero bytes, without making them."""
    step = []  # what one zero byte makes of each bit of the register: a linear map, to be raised to the power `count`
    for bit in range(32):
        register = 1 << bit
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
        step.append(register)

    def apply(matrix: list[int], register: int) -> int:
        result = 0
        for bit in range(32):
            result ^= matrix[bit] if register >> bit & 1 else 0
        return result

    register = crc ^ 0xFFFFFFFF
    while count:
        if count & 1:
            register = apply(step, register)
        step = [apply(step, column) for column in step]
        count >>= 1
    return register ^ 0xFFFFFFFF


def npy_bytes(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """Return the header of a `.npy` file of this shape."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    return npy_with_header(text)


def npy_with_header(text: str) -> bytes:
    """Return a `.npy` file without data whose header holds `text`."""
    padded = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return npy_format.magic(1, 0) + struct.pack("<H", len(padded)) + padded
