"""The standard streams as a command may find them: closed, full, without a reader, or unable to show a letter."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_STREAMS = ("stdin", "stdout", "stderr")


def make_usable() -> None:
    """Give closed streams a place, so that no other file gets their numbers; show strange letters as escapes.

    What is printed to a closed standard output is an error still, as it is for other programs; what complains on a
    closed standard error goes nowhere.
    """
    for number, name in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)  # the lowest free number
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
        elif name != "stdin" and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


class _Watched:
    """A text stream that remembers the first error in the way of what was written to it: Python drops the text."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.fault: OSError | None = None

    def write(self, text: str) -> int:
        return self._try(self._stream.write, text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            self.fault = self.fault or error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def watched() -> Iterator[None]:
    """Have `fault` know, for the block, of all that is printed."""
    before = sys.stdout
    mine = sys.stdout = before if isinstance(before, _Watched) else _Watched(before)
    try:
        yield
    finally:
        if sys.stdout is mine:
            sys.stdout = before


def fault() -> OSError | None:
    """Hand on what was printed to standard output; return the error in the way of it, if there was one."""
    with suppress(ValueError):  # closed by the program itself
        try:
            sys.stdout.flush()
        except OSError as error:
            return error
    return getattr(sys.stdout, "fault", None)


def silence(stream: Any) -> None:
    """Let all that `stream` still holds, and what is written to it from now on, go nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()


def complain(line: str) -> None:
    """Print a line to standard error, if anything takes it."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


class _Lasting:
    """A text stream that drops what cannot be written, and tells so once."""

    def __init__(self, stream: Any, tell: Callable[[OSError], None]) -> None:
        self._stream, self._tell = stream, tell

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        silence(self._stream)
        if isinstance(self._stream, _Watched):
            self._stream.fault = None
        self._tell(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def outlived(tell: Callable[[str], None]) -> Iterator[None]:
    """For the block, drop output that cannot be written and go on; `tell` is told so in a line, once a stream."""
    before = sys.stdout, sys.stderr

    def telling(name: str) -> Callable[[OSError], None]:
        return lambda error: tell(f"Nothing takes this run's {name} any more ({error.strerror}): it goes on without.")

    sys.stdout = _Lasting(sys.stdout, telling("output"))
    sys.stderr = _Lasting(sys.stderr, telling("warnings"))
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before
