"""Errors that a user can mend, and how every command line reports them."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_LONGEST_LINE = 1000
_noted: set[str] = set()


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
        print(line, file=sys.stderr)


def suggest(unknown: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known word nearest to `unknown`, else ""."""
    nearest = difflib.get_close_matches(unknown, list(known), n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def run_command(main: Callable[[], int | None]) -> None:
    """Run a script's `main` and exit with its status; a `UserError` is one line and status 2, Ctrl-C status 130."""
    try:
        status = main()
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # `... | head` closed our stdout: not a fault of ours
        sys.stderr.close()
        sys.exit(0)
    sys.exit(status or 0)


def one_line(error: UserError) -> str:
    """Return the message as one line of at most a screen, in which control characters of a hostile file are escaped.

    Torch's DataLoader hands on a worker's error as a whole traceback, which ends with the message.
    """
    line = str(error).strip()
    if line.startswith("Caught ") and "Original Traceback" in line:
        line = line.rpartition(f"{UserError.__module__}.UserError: ")[2]
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE // 2]} [...] {line[-_LONGEST_LINE // 2:]}"
