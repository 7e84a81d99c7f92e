"""What a reader does while it is fed nonsense, by the audit events that Python raises."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())  # where inputs are written


class Watch:
    """Notes the events whose names begin as one of `forbidden`, while `on` is set. A hook cannot be taken back."""

    def __init__(self, forbidden: tuple[str, ...]) -> None:
        self.on = False
        self.seen: list[str] = []
        self._forbidden = forbidden
        sys.addaudithook(self._note)

    def start(self) -> None:
        """Forget what was seen and watch."""
        self.seen.clear()
        self.on = True

    def stop(self, path: Path) -> None:
        """Watch no longer; AssertionError if anything was done but to open the file at `path`."""
        self.on = False
        done = [event for event in self.seen if not event.startswith("open") or path.name not in event]
        assert not done, done

    def _note(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and event.startswith(self._forbidden):
            self.seen.append(f"{event}{args!r:.100}")
