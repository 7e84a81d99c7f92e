"""Feeders of the toy tree in which something goes wrong at a certain clip, of several processes in the second."""

import os
import shutil
import signal
from pathlib import Path

import toy_feeder

from skeleton_lab.errors import UserError

CLIPS = 24


class _Counting(toy_feeder.Feeder):
    """Calls `happen` as the last process is asked for the third clip of its second epoch of training."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.asked = 0

    def __getitem__(self, index: int):
        self.asked += 1
        rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if rank == size - 1 and self.asked == CLIPS // size + 3:
            self.happen()
        return super().__getitem__(index)

    def happen(self) -> None:
        raise NotImplementedError


class Feeder(_Counting):
    """SIGTERM arrives."""

    def happen(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class AtTheRetest(toy_feeder.Feeder):
    """SIGTERM arrives as the best weights are tested again after three epochs: only then is a clip asked for so often.

    With the option `once`, a file, it does so in one run only.
    """

    def __init__(self, once: str = "", **options) -> None:
        super().__init__(**options)
        self.once, self.asked = Path(once), 0

    def __getitem__(self, index: int):
        self.asked += 1
        if self.asked == 3 * CLIPS + 3 and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(index)


class Failing(_Counting):
    """A clip is broken."""

    def happen(self) -> None:
        raise UserError("clips.npz: sample 7 holds NaN; take it out")


class Killed(_Counting):
    """The process is killed."""

    def happen(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Vanishing(_Counting):
    """Somebody deletes the work directory."""

    def __init__(self, work_dir: str = "", **options) -> None:
        super().__init__(**options)
        self.work_dir = work_dir

    def happen(self) -> None:
        shutil.rmtree(self.work_dir)
