"""SIGTERM and SIGINT ask a run to save and stop; they do not cut it off in the middle of a step."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class StopRequest:
    """While entered, remembers the first SIGTERM or SIGINT; a second SIGINT interrupts at once.

    Attributes:
        signal: the number of the signal received, or None.
    """

    def __init__(self, impatient: bool = True) -> None:
        """`impatient` False: a second SIGINT changes nothing (a terminal and `torchrun` may both send one)."""
        self._impatient = impatient
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_status(self) -> int:
        """128 + the signal's number, as shells report it; 0 without a signal."""
        return 128 + self.signal if self.signal else 0

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._impatient and self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number
