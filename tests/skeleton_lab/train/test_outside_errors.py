"""An error from outside is one line; what is a fault of the code stays a traceback."""

from __future__ import annotations

import errno
import threading

import pytest
import torch

from skeleton_lab.errors import UserError
from skeleton_lab.train.outside_errors import told


def disk_error(number: int, path=None) -> OSError:
    return OSError(number, "No space left on device", None if path is None else str(path))


@pytest.mark.parametrize(("error", "match"), [
    (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
     r"GPU's memory does not suffice \(CUDA out of memory\); use a smaller --forward-batch-size"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), "GPU's memory"),
    (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), r"GPU's memory does not suffice \(CUDA"),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "GPU's memory does not suffice"),
    (RuntimeError("DataLoader worker is killed: it is possible that it is out of shared memory."), "--shm-size"),
    (RuntimeError("unable to allocate shared memory(shm) for file </torch_1>"), "--num-worker 0"),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "a loader process was killed.*--resume"),
    (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "a loader process was killed, or ended"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried to"),
     r"the machine's memory does not suffice \(\. DefaultCPUAllocator"),
    (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "no further process may be started.*ulimit -u"),
    (MemoryError(), r"the machine's memory does not suffice \(MemoryError\)"),
    (disk_error(errno.ENOSPC), r"cannot write there any more \(No space left on device\).*--resume"),
    (disk_error(errno.EROFS), "the last saved state is kept"),
])
def test_what_comes_from_outside_is_one_line(tmp_path, error, match):
    with pytest.raises(UserError, match=match) as caught:
        with told(tmp_path):
            raise error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(errno.ECONNRESET, "reset"), KeyError("a")])
def test_what_is_a_fault_stays_as_it_is(tmp_path, error):
    with pytest.raises(type(error)) as caught:
        with told(tmp_path):
            raise error
    assert caught.value is error


def test_a_missing_file_in_a_work_directory_that_is_gone(tmp_path):
    gone = tmp_path / "work"
    with pytest.raises(UserError, match="the work directory is gone"):
        with told(gone):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(gone / "runs" / "x"))
    with pytest.raises(FileNotFoundError):
        with told(tmp_path):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "runs" / "x"))


def test_a_writing_threads_disk_error_is_silent_and_others_are_not(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)

    def fail_with(error):
        def fail():
            raise error

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()

    with told(tmp_path):
        fail_with(disk_error(errno.ENOSPC))
        fail_with(ValueError("a bug"))
    assert [type(ended.exc_value) for ended in shown] == [ValueError]


def test_without_loader_processes_nobody_is_told_to_do_without(tmp_path):
    with pytest.raises(UserError, match="this process has no shared memory left; empty /dev/shm") as caught:
        with told(tmp_path, workers=0):
            raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>")
    assert "--num-worker" not in str(caught.value)
