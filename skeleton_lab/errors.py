"""Errors that a user can mend, and how every command line reports them."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skeleton_lab.command import interrupt, terminal
from skeleton_lab.command.interrupt import EXIT_INTERRUPTED

EXIT_BAD_INPUT = 2
EXIT_NO_READER = 141  # 128 + SIGPIPE
_LONGEST_LINE = 1000
# Words for one thing: what other projects call a setting, and what it is called here.
_ALIKE = (
    ("lr", "learning-rate", "base-lr"),
    ("epoch", "epochs", "num-epochs", "max-epochs", "num-epoch"),
    ("gpu", "gpus", "gpu-id", "device"),
    ("workers", "num-workers", "num-worker", "jobs"),
    ("bs", "batchsize", "batch-size"),
    ("wd", "decay", "weight-decay"),
    ("out", "out-dir", "output-dir", "save-dir", "log-dir", "output", "out-folder", "work-dir"),
    ("in", "data", "data-path", "npz-path", "path", "input"),
    ("pretrained", "checkpoint", "ckpt", "weights"),
    ("fp16", "amp", "half"),
    ("force", "overwrite"),
)
_noted: set[str] = set()
_endings: list[Callable[[], None]] = []


class UserError(Exception):
    """Bad input: one line that names the file, what is wrong and what to do.

    Command lines turn it into that line on stderr and exit status 2 (`run_command`).
    """


class NothingToSee(UserError):
    """A recording that is whole, but in which there is nobody."""


def note(line: str) -> None:
    """Print a line on stderr, once, and of the processes that train together from the first only."""
    if os.environ.get("RANK", "0") == "0" and line not in _noted:
        _noted.add(line)
        terminal.complain(line)


def suggest(unknown: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known word nearest to `unknown`, else "".

    Hyphens and underscores are alike; words of one meaning (`_ALIKE`) and beginnings come before similar spelling.
    """
    return did_you_mean(_nearest(unknown, known))


def did_you_mean(known: str | None) -> str:
    """Return "; did you mean 'x'?", or "" for None."""
    return f"; did you mean '{known}'?" if known else ""


def _nearest(unknown: str, known: Iterable[str]) -> str | None:
    plain = {_plain(name): name for name in known}
    word = _plain(unknown)
    alike = [other for group in _ALIKE if word in group for other in group if other in plain]
    longer = sorted((name for name in plain if name.startswith(word)), key=len) if word else []
    found = [word] if word in plain else [*alike, *longer, *difflib.get_close_matches(word, list(plain), n=1)]
    return plain[found[0]] if found else None


def _plain(word: str) -> str:
    return word.lstrip("-").lower().replace("_", "-")


def nearest_path(path: str | Path) -> str | None:
    """Return the path of a file or folder that is there and is spelled nearly like `path`, which is not, or None."""
    path = Path(path)
    found = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if not (found / part).exists():
            try:
                there = os.listdir(found)
            except OSError:
                return None
            [part] = difflib.get_close_matches(part, there, n=1) or [""]
            if not part:
                return None
        found /= part
    return str(found)


def missing(path: str | Path, error: OSError | None, remedy: str) -> UserError:
    """Return the error for a file that is not there, or cannot be read: with its nearest neighbour, else the remedy."""
    if error is not None and not isinstance(error, FileNotFoundError | NotADirectoryError):
        return UserError(f"{path}: cannot read it ({error.strerror or error}); {remedy}")
    if os.path.islink(path):
        return UserError(f"{path}: is a link to {os.path.realpath(path)}, which is not there; {remedy}")
    return UserError(f"{path}: no such file or folder{did_you_mean(nearest_path(path)) or f'; {remedy}'}")


def run_command(main: Callable[..., int | None], *arguments: Any) -> None:
    """Run a script's `main(*arguments)` and exit with its status, as `reported` says."""
    with reported():
        sys.exit(main(*arguments) or 0)


@contextmanager
def reported() -> Iterator[None]:
    """End the program in a way that tells: a `UserError` is one line and status 2, Ctrl-C status 130.

    It ends with 0 only if all that it printed was taken: where a reader went away (`| head`) it ends with 141 and in
    silence, as other programs do, and where standard output cannot be written to, with that line and 2.
    """
    terminal.make_usable()
    with terminal.watched():
        status: Any = None
        try:
            interrupt.raises()
            try:
                yield
            finally:
                while _endings:
                    _endings.pop()()
        except UserError as error:
            status = EXIT_BAD_INPUT
            fault = terminal.fault()
            if fault is None or getattr(error.__cause__, "errno", None) != fault.errno:
                terminal.complain(f"error: {one_line(error)}")
        except KeyboardInterrupt:
            terminal.complain("interrupted")
            status = EXIT_INTERRUPTED
        except OSError:
            if terminal.fault() is None:
                raise
        except SystemExit as ended:
            status = ended.code or 0
        fault = terminal.fault()
        if fault is not None:
            status = _told(fault)
    if status is not None:
        sys.exit(status)


def _told(fault: OSError) -> int:
    """Return the status of a command whose output was not all taken, after a line unless its reader just left."""
    terminal.silence(sys.stdout)
    if isinstance(fault, BrokenPipeError):
        return EXIT_NO_READER
    terminal.complain(f"error: standard output: cannot write to it ({fault.strerror}); make room there, or "
                      "send it elsewhere")
    return EXIT_BAD_INPUT


def at_the_end(call: Callable[[], None]) -> None:
    """Have `call` called when the command ends (`reported`), however it does."""
    _endings.append(call)


def one_line(error: UserError) -> str:
    """Return the message as one line of at most a screen, in which control characters of a hostile file are escaped.

    Torch's DataLoader hands on a worker's error as a whole traceback, which ends with the message.
    """
    line = str(error).strip()
    if line.startswith("Caught ") and "Original Traceback" in line:
        line = line.rpartition(f"{UserError.__module__}.UserError: ")[2]
    line = in_one_line(line)
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE // 2]} [...] {line[-_LONGEST_LINE // 2:]}"


def in_one_line(text: str) -> str:
    """Return `text` with escapes in place of line breaks and other characters that are not printable."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
