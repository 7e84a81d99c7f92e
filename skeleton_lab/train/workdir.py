"""The work directory of a run: whose it is, what lies in it, and its log."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from skeleton_lab.errors import UserError
from skeleton_lab.files import sweep_parts

STATE = "training_state.pt"
PREVIOUS_STATE = "training_state.previous.pt"
BEST_WEIGHTS = "best.pt"
DIVERGED_BATCH = "diverged_batch.npz"
PREDICTIONS = "predictions.csv"
RECORD = "run.json"
REPORT = "report.html"
_LOCK = ".lock"


class WorkDir:
    """The output folder of a run.

    Attributes:
        path: the folder.
        log_to_file: whether `log` also appends to `log.txt`.
    """

    # What a training leaves behind; `--overwrite` deletes these and nothing else.
    _OWN_FILES = (STATE, PREVIOUS_STATE, BEST_WEIGHTS, DIVERGED_BATCH, "log.txt", "config.yaml", "curves.png",
                  "history.csv", "epoch*_test_*", "confusion_matrix.png", "*_right.txt", "*_wrong.txt",
                  "right-samples.txt", "wrong-samples.txt", "*.from_epoch*.py", PREDICTIONS, RECORD, REPORT)

    def __init__(self, path: str | Path, log_to_file: bool = True) -> None:
        """Make the folder.

        Raises:
            UserError: it cannot be made or written to.
        """
        self.path = Path(path)
        self.log_to_file = log_to_file
        self._speaks = True
        self._held: list[str] | None = None  # lines that wait to be written
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path}: cannot make the work directory ({error.strerror}); "
                            "choose another with --work-dir") from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise UserError(f"{self.path}: the work directory is not writable; change its permissions or choose "
                            "another with --work-dir")

    @classmethod
    def silent(cls, path: str | Path) -> WorkDir:
        """Return the work directory as a process sees it that writes nothing: `log` does nothing, nothing is made."""
        work_dir = cls.__new__(cls)
        work_dir.path, work_dir.log_to_file, work_dir._speaks, work_dir._held = Path(path), False, False, None
        work_dir._made = []
        return work_dir

    @contextmanager
    def kept_if_used(self) -> Iterator[None]:
        """Remove the folder again, if it was made here, where the block is refused before it has written a file."""
        try:
            yield
        except UserError:
            if self._made and self._made[0] == self.path and set(os.listdir(self.path)) <= {_LOCK}:
                (self.path / _LOCK).unlink(missing_ok=True)
                with suppress(OSError):  # something else came into one of them
                    for folder in self._made:
                        folder.rmdir()
            raise

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other trainings out of the folder for the block; sweep up what killed ones left half-written.

        Raises:
            UserError: another process trains here.
        """
        if not self._speaks:
            yield
            return
        with self._opened_lock() as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with this process
            except BlockingIOError:
                raise UserError(f"{self.path}: another process is training here; wait for it, stop it, or choose "
                                "another --work-dir") from None
            except OSError:
                pass  # a file system without locks
            sweep_parts(self.path)
            yield

    def _opened_lock(self) -> TextIO:
        path = self.path / _LOCK
        try:
            return open(path, "w")
        except IsADirectoryError:
            raise UserError(f"{path}: a folder, where a training has a file of that name; move it away, or choose "
                            "another --work-dir") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}), it is another user's perhaps; take the "
                            "folder over (chown), or choose another --work-dir") from None

    def refuse_strange(self, weights_patterns: Sequence[str], log_directory: str) -> None:
        """Raise a UserError where a folder or a pipe stands for a training's file, or a file for a folder."""
        for pattern in (*self._OWN_FILES, *weights_patterns):
            for path in self.path.glob(pattern):
                if path.is_dir() or path.is_fifo() or path.is_socket():  # a device takes what is written
                    raise UserError(f"{path}: {'a folder' if path.is_dir() else 'no file of data'}, where a training "
                                    "writes a file of that name; move it away, or choose another --work-dir")
        logs = self.path / log_directory
        if logs.exists() and not logs.is_dir():
            raise UserError(f"{logs}: a file, where a training writes a folder of that name; move it away, or choose "
                            "another --work-dir")

    def holds_training(self, weights_pattern: str) -> bool:
        """Whether a training has left states or weights (a glob pattern) here."""
        patterns = (STATE, PREVIOUS_STATE, BEST_WEIGHTS, weights_pattern)
        return any(next(self.path.glob(pattern), None) for pattern in patterns)

    def clear_training(self, weights_patterns: Sequence[str], log_directory: str) -> None:
        """Delete what an earlier training left here, and nothing else."""
        for pattern in (*self._OWN_FILES, *weights_patterns):
            for path in self.path.glob(pattern):
                try:
                    path.unlink()
                except OSError as error:
                    raise UserError(f"{path}: cannot delete it ({error.strerror}); mend its folder's permissions, or "
                                    "choose another --work-dir") from None
        shutil.rmtree(self.path / log_directory, ignore_errors=True)

    def hold_log(self) -> None:
        """From now on keep what `log` appends to `log.txt`: a run that is refused leaves the file as it is."""
        self._held = []

    def write_held_log(self) -> None:
        """Append what was kept, and write at once again from now on."""
        held, self._held = self._held or [], None
        self._append("".join(held))

    def log(self, text: str, to_terminal: bool = True) -> None:
        """Print a line and append it to `log.txt` as `[ <ctime> ] <text>`.

        Raises:
            UserError: the file cannot be written to.
        """
        if to_terminal and self._speaks:
            print(text, flush=True)
        line = f"[ {time.asctime()} ] {text}\n"
        if self._held is None:
            self._append(line)
        else:
            self._held.append(line)

    def _append(self, lines: str) -> None:
        if not (self.log_to_file and lines):
            return
        path = self.path / "log.txt"
        try:
            with open(path, "a", encoding="utf-8", errors="surrogateescape") as log:
                log.write(lines)
        except OSError as error:
            reason = error.strerror if self.path.is_dir() else "the work directory is gone"
            raise UserError(f"{path}: cannot write the log ({reason}); make room or mend the folder, then go on with "
                            "--resume") from error


def read_record(folder: Path) -> dict[str, Any]:
    """Return the content of a work directory's `run.json`; {} where there is none, or somebody has damaged it."""
    with suppress(OSError, ValueError):
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}
