"""The files that a training reads: what they hold as it begins, and whether they still do.

What a file holds is told by its size, its first and last megabyte, the headers of a zip's members (`.npz`) and a sample
of blocks spread over it; small files are read whole. An `.npz` that is written anew differs in any case: its last part
holds checksums of all arrays.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_lab.errors import UserError

_WHOLE_BYTES = 32 << 20  # of a file, or of several together
_END_BYTES = 1 << 20
_BLOCKS, _BLOCK_BYTES = 256, 16 << 10
_MOST_MEMBERS = 1000  # of a zip, whose headers are looked at
_MOST_NAMED = 16  # files that are told apart; more are taken for one, by their folder


@dataclass(frozen=True)
class Source:
    """A file, or a number of files in one folder, that a part of the data comes from.

    Attributes:
        path: of the file or the folder, absolute.
        members: paths of the files in it; of one file, itself.
    """

    path: str
    members: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all members that are there."""
        return sum(stamp[0] for stamp in self.stamps() if stamp)

    def stamps(self) -> tuple[tuple[int, ...], ...]:
        """Return what a change of a file changes, of each member: its size first; () where it is gone."""
        return tuple(_stamp(path) for path in self.members)

    def digest(self) -> str:
        """Return a hash of what the files hold, as far as they are looked at; their path and time do not count."""
        found = hashlib.blake2b(digest_size=16)
        whole = self.size <= _WHOLE_BYTES
        looked_at = set(_spread(len(self.members), _BLOCKS))
        for number, path in enumerate(self.members):
            stamp = _stamp(path)
            name = os.path.relpath(path, self.path) if path != self.path else ""
            found.update(f"{name}\0{stamp[0] if stamp else None}\0".encode("utf-8", "surrogateescape"))
            if stamp and (whole or number in looked_at):
                for block in _whole(path) if whole else _sample(path, stamp[0], alone=len(self.members) == 1):
                    found.update(block)
        return found.hexdigest()


def sources_of(feeder: Any, options: Mapping[str, Any]) -> list[Source]:
    """Return what a data set reads from: its attribute `files`, or else what its options name that is there."""
    named = getattr(feeder, "files", None)
    paths = [str(path) for path in named] if named is not None else [path for path in _words(options) if _is_path(path)]
    paths = list(dict.fromkeys(os.path.abspath(path) for path in paths))
    if len(paths) > _MOST_NAMED:
        return [Source(os.path.commonpath(paths), tuple(paths))]
    return [Source(path, tuple(_files_in(path))) for path in paths]


def names_a_source(value: Any, sources: Sequence[Source]) -> bool:
    """Whether an option's value is the path of one of the sources, or of a folder that it lies in."""
    if not isinstance(value, str) or not _is_path(value):
        return False
    path = Path(os.path.abspath(value))
    return any(Path(source.path).is_relative_to(path) for source in sources)


class Watch:
    """Tells whether files still hold what they held when the watch began."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._known = {source: (source.stamps(), source.digest()) for source in sources}

    def digest(self, source: Source) -> str:
        """Return the hash of a source as the watch began."""
        return self._known[source][1]

    def complaint(self) -> str:
        """Return "", or which file has changed, for people.

        A file that was moved or deleted is no change: who has it open goes on reading it. Files whose size and times
        are as they were are not read again.
        """
        for source, (before, digest) in self._known.items():
            now = source.stamps()
            changed = [number for number, (old, new) in enumerate(zip(before, now, strict=True)) if new and new != old]
            if not changed:
                continue
            if short := _cut_short(source.members, before, now):
                return short
            if all(now) and source.digest() == digest:
                self._known[source] = now, digest
                continue
            return (f"{source.members[changed[0]]}: was changed while the training was reading it; the last saved "
                    "state is kept: put the file back as it was, then go on with --resume (or accept the mixture: "
                    "--resume --accept-changes data)")
        return ""

    def cut_short(self) -> str:
        """Return "", or which file has fewer bytes than before."""
        found = (_cut_short(source.members, before, source.stamps()) for source, (before, _) in self._known.items())
        return next(filter(None, found), "")


@dataclass(frozen=True)
class Sizes:
    """The sizes of the files that batches are read from, to be checked before each: of a mapped file that has become
    shorter, a process would end by SIGBUS as it reads what is gone.
    """

    sizes: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, sources: Iterable[Source]) -> Sizes:
        """Take the sizes of the files that are told apart; of folders of many, each is read whole in any case."""
        return cls(tuple((source.path, stamp[0]) for source in sources for stamp in source.stamps()
                         if source.members == (source.path,) and stamp))

    def require(self) -> None:
        """Raise a UserError where a file has become shorter."""
        for path, size in self.sizes:
            with suppress(OSError):  # a file that is gone stays mapped
                if (now := os.stat(path).st_size) < size:
                    raise UserError(_short(path, size, now))


def _short(path: str, before: int, now: int) -> str:
    return (f"{path}: was cut short while the training was reading it ({now} bytes, {before} before); the last saved "
            "state is kept: put the file back whole, then go on with --resume")


def _cut_short(paths: Sequence[str], before: Sequence[tuple[int, ...]], now: Sequence[tuple[int, ...]]) -> str:
    return next((_short(path, old[0], new[0]) for path, old, new in zip(paths, before, now, strict=True)
                 if old and new and new[0] < old[0]), "")


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _is_path(word: str) -> bool:
    try:
        return bool(word) and os.path.exists(word)
    except (ValueError, OSError):  # a null character, a name too long
        return False


def _words(value: Any) -> Iterator[str]:
    """Yield all strings in nested options."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _words(item)


def _files_in(path: str) -> list[str]:
    """Return a file itself, or all files below a folder, in order."""
    if not os.path.isdir(path):
        return [path]
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)


def _spread(length: int, count: int) -> list[int]:
    """Return at most `count` numbers below `length`, spread evenly."""
    return [length * i // count for i in range(count)] if length > count else list(range(length))


def _whole(path: str) -> Iterator[bytes]:
    with suppress(OSError), open(path, "rb") as file:
        while block := file.read(_END_BYTES):
            yield block


def _sample(path: str, size: int, alone: bool) -> Iterator[bytes]:
    """Yield the blocks of a large file that are looked at; of one of many files (not `alone`) both ends."""
    places = [(0, _END_BYTES), (max(size - _END_BYTES, 0), _END_BYTES)]
    if alone:
        places += [(start, _BLOCK_BYTES) for start in _spread(size, _BLOCKS)]
        places += [(start, _BLOCK_BYTES) for start in _member_starts(path)]
    else:
        places = [(start, _BLOCK_BYTES) for start, _ in places]
    with suppress(OSError), open(path, "rb", buffering=0) as file:
        for start, length in places:
            file.seek(start)
            yield file.read(length)


def _member_starts(path: str) -> list[int]:
    """Return where the members of a zip begin; [] of other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [member.header_offset for member in archive.infolist()[:_MOST_MEMBERS]]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return []
