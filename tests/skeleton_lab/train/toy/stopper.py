"""Feeders of the toy tree in which something goes wrong at a certain clip, of several processes in the second."""

import os
import shutil
import signal

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
