"""Ctrl-C while a command's libraries load: it ends then and there, where a `KeyboardInterrupt` would be a traceback.

Some libraries even lose one that is raised in the middle of their import. Nothing has been begun yet that wants an end.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def ends_at_once() -> None:
    """Let Ctrl-C end the process with one line and status 130, unless somebody handles or ignores it already."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raises() -> None:
    """Undo `ends_at_once`: let Ctrl-C raise `KeyboardInterrupt`."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(EXIT_INTERRUPTED)
