"""Errors that come from outside a run, a full disk for instance: one line instead of a traceback."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from skeleton_lab.errors import UserError

_MOST_SHOWN = 200  # characters of PyTorch's own words
_FULL_OR_BROKEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE}
_NO_MEMORY = ("can't allocate memory", "not enough memory", "storage size calculation overflowed",
              "numel: integer multiplication overflow")
# How the libraries of a GPU say that there is no memory left, in lower case: not all by an error of their own. A
# library's handle takes memory too, and cannot be created or initialised without.
_NO_GPU_MEMORY = ("out of memory", "cannot allocate memory", "alloc_failed", "allocation failed", "memoryallocation",
                  "cublas_status_not_initialized", "cudnn_status_not_initialized")
_NO_SHARED_MEMORY = ("out of shared memory", "unable to allocate shared memory", "unable to write to file </torch_")
_ENDED = ("exited unexpectedly", "is killed by signal")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception is a lack of memory, of the device or of the machine."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in (*_NO_MEMORY, *_NO_GPU_MEMORY))


@contextmanager
def told(work_dir: Path, workers: int = 1) -> Iterator[None]:
    """Turn a full disk, used-up memory of any kind and a lost loader process within the block into a `UserError`.

    Args:
        work_dir: where the block writes.
        workers: loader processes that it has.
    """
    try:
        with _quiet_threads(work_dir), memory_told():
            yield
    except BlockingIOError as error:  # of fork
        raise UserError(f"no further process may be started ({error.strerror}); allow more (ulimit -u, docker run "
                        "--pids-limit), or use fewer loader processes: --num-worker 0 needs none") from error
    except OSError as error:
        reason = _disk_trouble(error, work_dir)
        if not reason:
            raise
        path = os.fsdecode(error.filename or work_dir)
        raise UserError(f"{path}: cannot write there any more ({reason}); the last saved state is kept: make room or "
                        "mend the folder, then go on with --resume") from error
    except RuntimeError as error:
        text = str(error).lower()
        if any(part in text for part in _NO_SHARED_MEMORY):
            fewer = ", or use fewer of them (--num-worker 0 needs none)" if workers else ""
            who = "the loader processes have" if workers else "this process has"
            raise UserError(f"{who} no shared memory left; empty /dev/shm, give the container more (docker run "
                            f"--shm-size=8g){fewer}") from error
        if "dataloader worker" in text and any(part in text for part in _ENDED):
            raise UserError("a loader process was killed, or ended for want of memory or shared memory; the last saved "
                            "state is kept: go on with --resume, with fewer of them (--num-worker) if it happens "
                            "again") from error
        if not is_out_of_memory(error):
            raise
        said = " ".join(str(error).split()).split(". ")[0][:_MOST_SHOWN]
        raise UserError(f"the GPU's memory does not suffice ({said}); use a smaller --forward-batch-size or "
                        "--test-batch-size, --half or --memory-friendly") from error


@contextmanager
def memory_told() -> Iterator[None]:
    """Turn memory of the machine that does not suffice within the block into a `UserError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if not isinstance(error, MemoryError) and not any(part in text.lower() for part in _NO_MEMORY):
            raise
        reason = text.rpartition("] ")[2][:_MOST_SHOWN] or type(error).__name__
        raise UserError(f"the machine's memory does not suffice ({reason}); use smaller batches, or check "
                        "the sizes in model_args") from error


def _disk_trouble(error: BaseException | None, work_dir: Path) -> str:
    """Return what is wrong with the disk or the work directory, or "" if `error` is something else."""
    if not isinstance(error, OSError):
        return ""
    inside = bool(error.filename) and work_dir in Path(os.fsdecode(error.filename)).parents
    if error.errno == errno.ENOENT and inside and not work_dir.exists():
        return "the work directory is gone"
    return error.strerror or "" if error.errno in _FULL_OR_BROKEN else ""


@contextmanager
def _quiet_threads(work_dir: Path) -> Iterator[None]:
    """Print no traceback of TensorBoard's writing thread about the disk: it passes the error on to the main one."""
    before = threading.excepthook

    def hook(ended: Any) -> None:
        if not _disk_trouble(ended.exc_value, work_dir):
            before(ended)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
