"""Files that are either whole or absent: written beside their target, then moved into place; and their sizes."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skeleton_lab.errors import UserError

_PART = re.compile(r"\..+\.(\d+)\.part")  # how `replacing` names its temporary files; the number is the process's
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_FRESH_S = 60  # a file that young may be another container's, whose processes have numbers of their own
_swept: set[Path] = set()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in `path`'s folder; move it onto `path` when the block succeeds.

    The target is never seen half-written: on any exception the temporary file is removed and an
    existing target stays as it was. A symbolic link at `path` is followed, not replaced. Missing
    parent folders are made. The data is flushed to disk before the move, so that a power cut leaves
    the old file or the new one. SIGTERM and SIGHUP end the block like an exception; what SIGKILL leaves
    is swept by the next process that writes to the folder.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
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
        temporary.write_text(text, encoding="utf-8")


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
