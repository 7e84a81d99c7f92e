"""Which NW-UCLA recordings train and which validate: views 1 and 2 against view 3, 1,484 of them.

A recording `aAA_sSS_eEE_vVV` is episode E of action A by subject S, seen from view V. Most subjects have the episodes
e00 to e04 of an action in a view; `EXCEPTIONS` holds those who do not. The lists are in sorted order: scores carry the
names of their recordings, and that is how they are joined.
"""

from __future__ import annotations

from typing import NamedTuple

SUBJECTS = range(1, 11)
USUAL_EPISODES = range(5)

# Action code -> the exceptions of views 1, 2 and 3: "subject:episodes", episodes as "0-5", "0,2-4" or "-" for none.
# The position of an action in this table is its class.
EXCEPTIONS: dict[int, tuple[str, str, str]] = {
    1: ("4:0-5 8:0-6", "4:0-6 5:0-2 6:0-2,4", "3:0-7 5:-"),
    2: ("6:0-5 7:0-5 9:0-3 10:0-5", "7:0-5 10:0-2,4", "7:0-5 10:0-2,4"),
    3: ("3:0-5 5:0-3 6:0,2-4 8:0-6", "3:0-5 6:0-2 8:0-3 9:0,2,4 10:0-3", "3:0-5 6:0-2 8:0-3 9:0,2,4 10:0-3"),
    4: ("1:0-5 2:0-5 3:0-5 4:0-10 5:0-9", "1:0-9 2:0-7 3:0-5 4:0-5 6:0-5 10:0-3", "1:0-8 5:-"),
    5: ("6:0-3 7:1-4 8:0-5 10:0-5", "4:0-5", "5:- 7:0-5 8:0-5"),
    6: ("8:0-5 10:0-5", "", "5:- 7:0-5 8:0-5"),
    8: ("5:0-5 6:0-3 7:0-3", "5:0-6 6:0-3 7:0-3", "5:- 6:0-3 7:0-3"),
    9: ("5:0-6 6:0-3 7:0-3", "5:0-5 6:0-3 7:0-3", "5:- 6:0-3 7:0-3"),
    11: ("6:0-3 7:0-3 8:0-5 9:0-3 10:0-5", "4:0-3 5:0-5 10:0-3", "3:0-5 5:- 8:0-5"),
    12: ("3:0-3 4:0-5 6:0-5 9:-", "3:0-5 4:0-5 6:1-4", "5:-"),
}


class ListedRecording(NamedTuple):
    """A recording's file name without ".json", and its class from 0."""

    name: str
    label: int


def recordings(part: str) -> list[ListedRecording]:
    """Return the recordings of "train" (1,020) or "val" (464), sorted by view, then by name."""
    views = (3,) if part == "val" else (1, 2)
    return [ListedRecording(f"a{action:02d}_s{subject:02d}_e{episode:02d}_v{view:02d}", label)
            for view in views
            for label, (action, by_view) in enumerate(EXCEPTIONS.items())
            for subject, episodes in _episodes(by_view[view - 1]).items()
            for episode in episodes]


def _episodes(exceptions: str) -> dict[int, list[int]]:
    """Return subject -> episodes, from the usual ones and the text of the exceptions."""
    episodes = {subject: list(USUAL_EPISODES) for subject in SUBJECTS}
    for exception in exceptions.split():
        subject, _, numbers = exception.partition(":")
        episodes[int(subject)] = _numbers(numbers)
    return episodes


def _numbers(text: str) -> list[int]:
    """Return the numbers of "0,2-4", or none of "-"."""
    if text == "-":
        return []
    ends = [part.partition("-") for part in text.split(",")]
    return [number for first, _, last in ends for number in range(int(first), int(last or first) + 1)]
