"""Fuzz the reader of `.npz` and `.npy`: mutated archives must be read or refused in one line, in little memory.

    python -m tests.fuzz.archives --count 100000

What is read must be what numpy reads of the file, where numpy reads it at all.
"""

from __future__ import annotations

import io
import os
import random
import tempfile
import warnings
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.archive import list_arrays, map_array, read_blocks
from skeleton_lab.data.formats.class_indices import nothing, read_archive_labels
from skeleton_lab.errors import UserError
from tests.fuzz.mutations import BINARY, inserting, main, mutate, refused_in_one_line

MOST_BYTES = 1 << 20  # an input of a kilobyte has no business to become more


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    """Return an array as a `.npy` file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version, allow_pickle=False)
    return file.getvalue()


def npz(packed: bool, **arrays: np.ndarray) -> bytes:
    """Return arrays as a `.npz` file."""
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, **arrays)
    return file.getvalue()


CLIPS, LABELS = np.arange(60, dtype=np.float32).reshape(2, 5, 6), np.arange(2)
SEEDS = (npy(CLIPS), npy(LABELS, (2, 0)), npy(np.asfortranarray(CLIPS)), npy(np.zeros((0, 3), "<f2")),
         npz(False, x_train=CLIPS, y_train=LABELS), npz(True, x_train=CLIPS, y_train=LABELS), npz(False, a=LABELS),
         npz(False, y_test=LABELS[:, None].astype(float)), npz(True, y_test=np.eye(2)))
WORDS = (b"(2, 5, 6)", b"(-1,)", b"(9999999999, 9999999999)", b"(1e9,)", b"()", b"(True, 2)", b"'|O'", b"'<f8'",
         b"'>i2'", b"'V0'", b"'|S0'", b"'<U9999999'", b"[('a', '<f4')]", b"True", b"None", b"{}", b"((((((",
         b"__import__('os')", b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\xff\xff\xff\xff", b"\x00" * 8,
         b"\xff" * 8, b"\x93NUMPY\x03\x00", b"../", b"..\\", b"/etc/", b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f")
MUTATIONS = (*BINARY, inserting(WORDS), inserting(WORDS))
_FOLDER = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())


def check_content(content: bytes) -> bool:
    """Return whether `content` is an archive; AssertionError if the reader does not do as it should."""
    path = _FOLDER / f"skeleton-lab-fuzz-{os.getpid()}.npz"
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _check(path)
    except UserError as error:
        refused_in_one_line(error, str(path))
        return False
    finally:
        path.unlink()


def _check(path: Path) -> bool:
    for key, header in list_arrays(path).items():
        assert header.nbytes <= max(1032 * path.stat().st_size, MOST_BYTES), header
        read = None
        if header.shape and not (header.fortran_order and len(header.shape) > 1):
            read = np.concatenate([np.empty((0, *header.shape[1:]), header.dtype),
                                   *(block for _, block in read_blocks(path, key))],
                                  dtype=header.dtype)  # or numpy may change the byte order
            assert (read.shape, read.dtype) == (header.shape, header.dtype)
        if header.offset is not None:
            mapped = map_array(path, key)
            assert (mapped.shape, mapped.dtype) == (header.shape, header.dtype)
            assert read is None or mapped.tobytes() == read.tobytes()
        _compare_with_numpy(path, key, read)
        _labels(path, key)
    return True


def _labels(path: Path, key: str) -> None:
    """As labels, an array is class indices, or refused."""
    try:
        labels = read_archive_labels(path, key, say=nothing)
    except UserError as error:
        refused_in_one_line(error, str(path))
    else:
        assert labels.dtype == np.int64 and labels.ndim == 1 and ((labels >= -1) & (labels < 100_000)).all()


def _compare_with_numpy(path: Path, key: str, read: np.ndarray | None) -> None:
    try:
        loaded = np.load(path, allow_pickle=False)
        array = loaded[key] if key else loaded
    except Exception:
        return  # numpy is stricter here and there, and says so in many ways
    if read is not None and isinstance(array, np.ndarray):
        assert array.dtype == read.dtype and array.tobytes() == read.tobytes()


def check(rng: random.Random) -> bool:
    """Make an input and check it."""
    return check_content(mutate(SEEDS, MUTATIONS, rng))


if __name__ == "__main__":
    main(check, __doc__)
