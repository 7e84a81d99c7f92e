"""Feeders of the toy tree in which something goes wrong in the second of two processes, at a certain place."""

import os
import signal

import toy_feeder

from skeleton_lab.errors import UserError

CLIPS_OF_A_PROCESS_IN_AN_EPOCH = 12


class _Counting(toy_feeder.Feeder):
    """Calls `happen` in the second process as it is asked for the third clip of its second epoch of training."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.asked = 0

    def __getitem__(self, index: int):
        self.asked += 1
        if os.environ.get("RANK") == "1" and self.asked == CLIPS_OF_A_PROCESS_IN_AN_EPOCH + 3:
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
