"""Which rows of a file of poses a batch is made of, and where in its clips they go.

Every frame of a recording that is kept is a row of its own for each person, computed once however often clips repeat
it. Axes: N recordings, K clips of L frames of each, M persons, S rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOBODY = -1  # in place of a frame number: nothing is there


@dataclass(frozen=True)
class Rows:
    """Rows (S,) of a file, recording after recording, in it person after person, in order of time; and one that stands
    for nobody, which goes through all steps and is put to zero behind them.

    source: (S + 1,) in the file. recording: (S + 1,) of the batch, 0 to N - 1. bounds: (N + 1,) where each one's rows
    begin. ends: rows that no other follows. places: (N, K, M, L) which row each frame of a clip shows; S: none.
    """

    source: np.ndarray
    recording: np.ndarray
    bounds: np.ndarray
    ends: np.ndarray
    places: np.ndarray

    def of_each(self, values: np.ndarray) -> np.ndarray:
        """Return values (N, ...) of recordings for every row, (S, ...); (1, ...) where all are alike."""
        alike = len(values) == 1 or (values == values[:1]).all()
        return values[:1] if alike else values.take(self.recording, axis=0)


@dataclass(frozen=True)
class Kept:
    """What stays of recordings (N). table: (N, 3) first row, persons and frames of each in the file. exchanged: (N,)
    whether its two persons change places. sizes: (N,) frames that stay. frames: their numbers, of those recordings of
    which not all do.
    """

    table: np.ndarray
    exchanged: np.ndarray
    sizes: np.ndarray
    frames: dict[int, np.ndarray]


def rows_of(kept: Kept, picked: np.ndarray, shape: tuple[int, int]) -> Rows:
    """Return the rows that a batch needs.

    Args:
        picked: (N, K*L) numbers of frames among those kept, or NOBODY.
        shape: K clips, M persons; further persons are left out.
    """
    clips, num_person = shape
    count, first, whole = len(kept.table), kept.table[:, 0], kept.table[:, 2]
    persons = np.minimum(kept.table[:, 1], num_person)
    owner = _steps(persons)  # of blocks, each one person of a recording
    first_block = np.cumsum(persons) - persons
    number = np.arange(len(owner)) - first_block[owner]  # of the person
    lengths = kept.sizes[owner]
    begins = np.append(0, np.cumsum(lengths))
    in_file = first[owner] + np.where(kept.exchanged[owner], 1 - number, number) * whole[owner]
    block = _steps(lengths)
    source = np.append(np.arange(begins[-1]) + (in_file - begins[:-1])[block], in_file[-1])
    for n, frames in kept.frames.items():
        for one in range(first_block[n], first_block[n] + persons[n]):
            source[begins[one]:begins[one + 1]] = in_file[one] + frames
    at = np.full((count, num_person), -1, np.int64)  # where the persons of each recording begin
    at[owner, number] = begins[:-1]
    frames = picked.reshape(count, clips, 1, -1)
    places = at[:, None, :, None] + frames  # (N, K, M, L)
    places.swapaxes(1, 2)[at < 0] = begins[-1]
    if (picked < 0).any():
        places[np.broadcast_to(frames < 0, places.shape)] = begins[-1]
    recording, bounds = np.append(owner[block], owner[-1]), np.append(begins[first_block], begins[-1])
    return Rows(source, recording, bounds, begins[1:] - 1, places)


def _steps(lengths: np.ndarray) -> np.ndarray:
    """Return 0, 1, ... each as often as its length, all of which are positive; quicker than np.repeat."""
    steps = np.zeros(lengths.sum(), np.int64)
    steps[np.cumsum(lengths)[:-1]] = 1
    return np.cumsum(steps)


def fewer(kept: np.ndarray, picked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the frames `kept` that are picked, those that follow them, and the first, by which recordings are
    laid; and the new numbers of the picks. Of a long recording a short clip shows but few frames.
    """
    shown = picked[picked >= 0]
    needed = np.unique(np.concatenate([[0], shown, np.minimum(shown + 1, len(kept) - 1)]))
    return kept[needed], np.where(picked >= 0, np.searchsorted(needed, picked), NOBODY)
