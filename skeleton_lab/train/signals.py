"""SIGTERM, SIGINT and SIGHUP ask a run to save and stop; they do not cut it off in the middle of a step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType

_NUMBERS = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class StopRequest:
    """While entered, remembers the first of these signals; a second SIGINT interrupts at once.

    SIGHUP, the end of a terminal, changes nothing where it is ignored: under `nohup`.

    Attributes:
        signal: the number of the signal received, or None.
        before_interrupting: called as a second SIGINT arrives, to end what would hold up the end.
    """

    def __init__(self, impatient: bool = True) -> None:
        """`impatient` False: a second SIGINT changes nothing (a terminal and `torchrun` may both send one)."""
        self._impatient = impatient
        self.signal: int | None = None
        self.before_interrupting: Callable[[], None] = _nothing
        self._before: dict[int, object] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_status(self) -> int:
        """128 + the signal's number, as shells report it; 0 without a signal."""
        return 128 + self.signal if self.signal else 0

    def __enter__(self) -> StopRequest:
        for number in _NUMBERS:
            if number in (signal.SIGTERM, signal.SIGINT) or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._impatient and self.signal == signal.SIGINT == number:
            self.before_interrupting()
            raise KeyboardInterrupt
        if self.signal is None and number == signal.SIGINT:
            again = "; again: stop now" if self._impatient else ""
            os.write(2, f"stopping after this step{again}\n".encode())  # `print` may be in the middle of another one
        self.signal = number


def _nothing() -> None:
    """End nothing."""
