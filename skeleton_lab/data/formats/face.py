"""What every format of recordings has: a name, a way to recognise it, a way to read it. See `registry`."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from skeleton_lab.data.formats.headers import ArrayHeader, list_arrays
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import Skeleton

HEAD_BYTES = 64 << 10
MAX_JSON_BYTES = 64 << 20
REMEDY = "download it again, or make it again if it is your own"
_ARRAY_FILES = (b"PK\x03\x04", b"PK\x05\x06", b"\x93NUM")


@dataclass(frozen=True)
class Wanted:
    """Which recordings to open of a file of many, and what the user says of them.

    split: of an archive; None: the test split, or the only one. first_split: looked for first where `split` is None.
    indices: which recordings, from 0; None: all. skeleton: of the joints, whatever the file says. usual: the skeleton
    of joints of which the file does not tell it. long: allow text files of any length, to be cut into windows. fps,
    image_size: frames a second, and width and height of the picture, whatever the file says. hands: the hands' joints
    behind the body's, of files that keep them apart. in_space: of a file with joints both in the picture and in space,
    those in space. of_kinect: they are for a model that was trained on a Kinect's joints.
    """

    split: str | None = None
    indices: tuple[int, ...] | None = None
    skeleton: Skeleton | None = None
    usual: Skeleton | None = None
    long: bool = False
    first_split: str = "test"
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    hands: bool = False
    in_space: bool = False
    of_kinect: bool = False

    def places(self, path: Path, count: int) -> Sequence[int]:
        """Return the places of the chosen ones of `count`; UserError if one of them is not there."""
        for index in self.indices or ():
            if not 0 <= index < count:
                raise UserError(f"{path}: there is no clip {index}; it holds {count}, numbered from 0")
        return range(count) if self.indices is None else self.indices


@dataclass(frozen=True)
class Look:
    """A file before it is known what it is: each of its faces is read once, however many formats ask.

    path: where it is; a folder has no bytes, but `is_folder`.
    """

    path: Path

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is a folder, which some formats fill with a file for each frame."""
        return self.path.is_dir()

    @cached_property
    def head(self) -> bytes:
        """The first 64 KiB; b"" of a folder.

        Raises:
            UserError: there is no such file, or it is nothing to be read.
        """
        if self.is_folder:
            return b""
        try:
            if not stat.S_ISREG(os.stat(self.path).st_mode):  # a pipe would keep us waiting
                raise UserError(f"{self.path}: is no regular file; give a file of recordings")
            with open(self.path, "rb") as file:
                return file.read(HEAD_BYTES)
        except OSError as error:
            raise UserError(f"{self.path}: cannot read it ({error.strerror}); check the path") from error

    @cached_property
    def arrays(self) -> dict[str, ArrayHeader]:
        """The headers of the arrays of an `.npz` or `.npy` file by key ("" of the latter); {} if it is neither.

        Raises:
            UserError: it is one, and damaged.
        """
        return list_arrays(self.path) if self.head[:4] in _ARRAY_FILES else {}

    @cached_property
    def json(self) -> Any:
        """The content of a JSON file; None if it is something else.

        Raises:
            UserError: it begins as one, and is none, or is larger than 64 MiB.
        """
        return load_json(self.path) if self.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else None

    @cached_property
    def lines(self) -> list[bytes]:
        """The first lines of a text, without the last one of the head if that is not whole; [] if it is no text."""
        if b"\x00" in self.head:
            return []
        lines = self.head.splitlines()
        return lines[:-1] if len(self.head) == HEAD_BYTES else lines


@dataclass(frozen=True)
class Format:
    """One format of recordings.

    name: what messages call it. suffixes: how its files usually end; by these alone files are picked out of a folder of
    many, and nothing is told from them. looks_like: whether a file is of this format, by its content. read: its
    recordings, as a sequence that makes each when it is asked for; raises UserError where the file is damaged.
    """

    name: str
    suffixes: tuple[str, ...]
    looks_like: Callable[[Look], bool]
    read: Callable[[Look, Wanted], Sequence[Recording]]


def load_json(path: str | Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        UserError: it cannot be read, is larger than 64 MiB, or is no JSON (names the line); also where it holds the
            bare words NaN and Infinity, which JSON has not and Python writes all the same.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_JSON_BYTES + 1)
        if len(text) > MAX_JSON_BYTES:
            raise UserError(f"{path}: is larger than {MAX_JSON_BYTES >> 20} MiB; {REMEDY}")
        return json.loads(text, parse_constant=_Refusing(path))
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); {REMEDY}") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: is not JSON ({error.msg}); {REMEDY}") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: is not JSON ({type(error).__name__}); {REMEDY}") from error


class _Refusing:
    """What is called for the words NaN, Infinity and -Infinity of a JSON file."""

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def __call__(self, word: str) -> None:
        raise UserError(f"{self.path}: holds the word {word}, which is no number; write the file again with a "
                        "confidence of 0, or null, where nothing was seen")
