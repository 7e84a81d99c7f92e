"""Files that are either whole or absent: written beside their target, then moved into place; and their sizes."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from skeleton_lab.errors import UserError, at_the_end

_PART = re.compile(r"\..+\.(\d+)\.part")  # how `replacing` names its temporary files; the number is the process's
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_FRESH_S = 60  # a file that young may be another container's, whose processes have numbers of their own
_DESCRIPTORS = re.compile(r"/proc/\d+(/task/\d+)?/fd")
_MOST_LINKS = 40
_swept: set[Path] = set()
_claimed: dict[Path, IO[str]] = {}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in `path`'s folder; move it onto `path` when the block succeeds.

    The target is never seen half-written: on any exception the temporary file is removed and an
    existing target stays as it was. A symbolic link at `path` is followed, not replaced. What is no regular file (a
    device, a pipe, `/dev/stdout`) is written to when the block succeeds. Missing parent folders are made. The data is
    flushed to disk before the move, so that a power cut leaves the old file or the new one. SIGTERM and SIGHUP end the
    block like an exception; what SIGKILL leaves is swept by the next process that writes to the folder.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
    if _is_stream(path):
        with _poured(path) as temporary:
            yield temporary
        return
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(target.parent)
        with ended_by_signals():
            yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
        _flush_folder(target.parent)
    except OSError as error:
        raise UserError(f"{target}: cannot write it ({error.strerror or error}); check the folder's "
                        "permissions and free space, or choose another place") from error
    finally:
        with suppress(OSError):  # whatever stood in the way of writing it may stand in the way of this too
            temporary.unlink(missing_ok=True)


def _is_stream(path: str | Path) -> bool:
    """Whether `path` is there and no file to be replaced: a device, a pipe, a socket, or an open file of a process."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    step = os.path.abspath(path)
    for _ in range(_MOST_LINKS):
        if _DESCRIPTORS.fullmatch(os.path.realpath(os.path.dirname(step))):
            return True
        if not os.path.islink(step):
            break
        step = os.path.join(os.path.dirname(step), os.readlink(step))
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def _poured(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; write what is there when the block succeeds to the stream at `path`."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, Path(path).name)
        yield temporary
        try:
            with open(temporary, "rb") as source, open(_opened(path), "wb") as stream:
                shutil.copyfileobj(source, stream)
        except OSError as error:
            raise UserError(f"{path}: cannot write to it ({error.strerror or error}); make room there, or choose "
                            "another output") from error


def _opened(path: str | Path) -> int:
    """Return a descriptor to write to a stream; what was printed to the same one before stays before it."""
    for printed in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            printed.flush()
            if os.path.samestat(os.fstat(printed.fileno()), os.stat(path)):
                return os.dup(printed.fileno())  # a socket cannot be opened by its name
    return os.open(path, os.O_WRONLY | os.O_APPEND)


def claim(path: str | Path) -> None:
    """Keep other commands from making the file or folder `path` until this one ends; to be called before a look at it.

    Raises:
        UserError: another command is making it, or the folder that it stands in cannot be made.
    """
    target = Path(os.path.realpath(path))
    if target in _claimed or _is_stream(path):
        return
    lock = target.with_name(f".{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = _locked(lock)
    except BlockingIOError:
        raise UserError(f"{target}: another command is writing it; wait for that one, or choose another output") \
            from None
    except OSError as error:
        raise UserError(f"{target}: cannot write it ({error.strerror or error}); check the folder's permissions, or "
                        "choose another place") from error
    if handle is not None:
        _claimed[target] = handle
        at_the_end(lambda: _give_up(target, lock))


def claim_new(path: str | Path, overwrite: bool, source: Path | None = None) -> None:
    """Claim a file that is to be made: what is there already stays, unless it may be overwritten.

    Args:
        source: what it is made of, which is never overwritten.

    Raises:
        UserError: as `claim`; or it is a folder, or is there and has to stay.
    """
    claim(path)
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder; name the file to write")
    if os.path.exists(path) and not _is_stream(path):
        itself = source is not None and os.path.samefile(path, source)
        if itself or not overwrite:
            raise UserError(f"{path}: {'is the input itself' if itself else 'exists'}; give another --output"
                            f"{'' if itself else ', or --overwrite to replace it'}")


def _locked(lock: Path) -> IO[str] | None:
    """Return the lock's file, locked; None on a file system without locks."""
    while True:
        handle = open(lock, "w")  # noqa: SIM115 - it is the lock
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            raise
        except OSError:
            handle.close()
            lock.unlink(missing_ok=True)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle.fileno()), os.stat(lock)):
                return handle
        handle.close()  # its holder removed it between the two calls


def _give_up(target: Path, lock: Path) -> None:
    with suppress(OSError):
        lock.unlink(missing_ok=True)
    handle = _claimed.pop(target, None)
    if handle is not None:
        handle.close()


def sweep_parts(folder: str | Path) -> list[Path]:
    """Delete the temporary files that killed processes left in `folder` and below; return their paths.

    Those of processes that still run are left alone.
    """
    return _sweep(Path(folder).rglob(".*.part"), min_age_s=0)


def _sweep_once(folder: Path) -> None:
    """Sweep the folder itself, not those below, once in a process: a folder may have many files."""
    if folder not in _swept:
        _swept.add(folder)
        with suppress(OSError):  # somebody else's
            _sweep(folder.glob(".*.part"), _FRESH_S)


def _sweep(paths: Iterable[Path], min_age_s: float) -> list[Path]:
    swept = []
    for path in paths:
        name = _PART.fullmatch(path.name)
        if not name or not path.is_file() or (int(name[1]) != os.getpid() and _runs(int(name[1]))):
            continue
        if time.time() - path.stat().st_mtime >= min_age_s:
            path.unlink(missing_ok=True)
            swept.append(path)
    return swept


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit within the block, so that it ends in order.

    Those that somebody handles or ignores already stay as they are, and all do in another thread than the main one.
    """
    ours = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        ours = []

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)  # as shells report it

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def _flush_folder(folder: Path) -> None:
    """Make a move in `folder` last through a power cut, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")  # paths may hold bytes of any kind


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write `content` to `path`, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def size_text(num_bytes: float) -> str:
    """Return a size for people, in powers of 1000: 7.22 GB."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.2f} GB"
