"""The place of a process among those that train together, as `torchrun` tells it through the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

from skeleton_lab.errors import EXIT_BAD_INPUT, UserError


@dataclass(frozen=True)
class Place:
    """Who this process is.

    Attributes:
        rank: its number, from 0; process 0 alone writes files and the log.
        size: the number of processes on all machines.
        local_rank: its number on this machine; it decides which GPU it takes.
        local_size: the number of processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the log and the files."""
        return self.rank == 0


def place_from_environment() -> Place:
    """Read the variables that `torchrun` sets; without them, or for one process, return the place of one alone.

    Raises:
        UserError: one of them is no number, or out of range.
    """
    if "RANK" not in os.environ or _number("WORLD_SIZE", 1) == 1:
        return Place()
    place = Place(_number("RANK"), _number("WORLD_SIZE"), _number("LOCAL_RANK", 0), _number("LOCAL_WORLD_SIZE", 1))
    if not (place.rank < place.size and place.local_rank < place.local_size):
        raise UserError(f"the environment says RANK={place.rank} of WORLD_SIZE={place.size} and LOCAL_RANK="
                        f"{place.local_rank} of LOCAL_WORLD_SIZE={place.local_size}, which cannot be; start the "
                        "processes with torchrun")
    return place


@contextmanager
def one_voice(place: Place) -> Iterator[None]:
    """Let one process of each machine speak where all would say the same: of the command line and the config."""
    if place.local_rank == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            yield
        except UserError:
            raise SystemExit(EXIT_BAD_INPUT) from None


def _number(name: str, default: int | None = None) -> int:
    word = os.environ.get(name, "" if default is None else str(default))
    if not word.isdigit():
        raise UserError(f"the environment variable {name} is '{word}', not a number; start the processes with torchrun")
    return int(word)
