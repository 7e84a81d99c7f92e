"""Decimal numbers in text, found, checked and converted many at a time with numpy.

`float()` on each of the 25,000 words of a recording is what makes straightforward readers slow. Here the text
is classified byte by byte through lookup tables, and the few columns wanted are converted by one matrix product.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# What a byte may be, one bit each, and what may not follow it in a number. Letters and all else have no bit: a word
# with one in it (1e-5, nan, 5%) is looked at on its own.
_BREAK, _DIGIT, _DOT, _SIGN = 1, 2, 4, 8
_NEVER_NEXT = {_BREAK: _BREAK, _DIGIT: _SIGN, _DOT: _BREAK | _DOT | _SIGN, _SIGN: _BREAK | _SIGN}


def _codes() -> bytes:
    """Return for each byte what it may be in the low half, and what must not follow it in the high half."""
    codes = bytearray(256)
    for characters, kind in ((b" \n", _BREAK), (b"0123456789", _DIGIT), (b".", _DOT), (b"+-", _SIGN)):
        for character in characters:
            codes[character] = kind | _NEVER_NEXT[kind] << 4
    return bytes(codes)


_CODE_OF = _codes()
_OTHER_SPACE = b"\t\v\f\r"
_NUMBER = re.compile(rb"[+-]?((\d+(\.\d+)?|\.\d+)(e[+-]?\d+)?|nan|inf(inity)?)", re.IGNORECASE)

# Words of one digit, a dot and up to eight digits, as most coordinates in metres are, are converted together, others by
# `float()`. Such a word times 10^8 is a whole number, exact in a float64, and so is 10^8, which divides it: the
# quotient is the correctly rounded value, as from `float()` (Clinger 1990).
_CHUNK = 8
# Masks for the first 0 to 8 characters of eight.
_FIRST = np.array([2**(8 * count) - 1 for count in range(_CHUNK + 1)], np.uint64)


def _keep_freed_memory() -> None:
    """Let glibc keep freed blocks of some hundred kilobytes instead of handing each back to the system.

    It does once a larger block has been freed. Without this, every recording takes its arrays' pages anew from
    the kernel, which costs more time than parsing. Elsewhere it does nothing.
    """
    np.empty(8 << 20, np.uint8)


_keep_freed_memory()


def is_number(word: bytes) -> bool:
    """Whether `word` is a decimal number, with or without exponent, or nan, inf, infinity in any case."""
    return _NUMBER.fullmatch(word) is not None


@dataclass(frozen=True)
class Words:
    """The words of a text in which words are parted by one space and lines by one newline, the last one included.

    text: the text's bytes. ends: (W,) int64, the position of the space or newline behind each word. last_of_line: (L,)
    int64, the number of the last word of each line. odd: the numbers of the words that contain a letter, ascending.
    """

    text: bytes
    ends: np.ndarray
    last_of_line: np.ndarray
    odd: np.ndarray

    @cached_property
    def line_ends(self) -> np.ndarray:
        """(L,) int64: the position of each line's newline."""
        return self.ends[self.last_of_line]

    @cached_property
    def line_starts(self) -> np.ndarray:
        """(L,) int64: the position of each line's first character."""
        return np.concatenate(([0], self.line_ends[:-1] + 1))

    @cached_property
    def first_of_line(self) -> np.ndarray:
        """(L,) int64: the number of the first word of each line."""
        return np.concatenate(([0], self.last_of_line[:-1] + 1))

    @cached_property
    def words_of_line(self) -> np.ndarray:
        """(L,) int64: how many words each line has."""
        return self.last_of_line - self.first_of_line + 1

    def starts_of(self, words: np.ndarray) -> np.ndarray:
        """Return the position at which each of the words numbered `words` begins."""
        return np.where(words > 0, self.ends[words - 1] + 1, 0)

    def words(self, numbers: np.ndarray) -> list[bytes]:
        """Return the words of these numbers."""
        bounds = zip(self.starts_of(numbers).tolist(), self.ends[numbers].tolist(), strict=True)
        return [self.text[start:end] for start, end in bounds]

    def first_words(self, lines: np.ndarray) -> list[bytes]:
        """Return the first word of each of `lines`."""
        return self.words(self.first_of_line[lines])

    def are_numbers(self) -> bool:
        """Whether every word is a number: those without a letter are known to be, so it looks at the others."""
        return all(map(is_number, set(self.words(self.odd))))

    def values(self, lines: np.ndarray, count: int) -> np.ndarray:
        """Return the first `count` words of `lines`, (n, count) float64, exactly as `float()` would.

        They must be numbers, and the lines, in ascending order, must have as many words.
        """
        words = self.first_of_line[lines, None] + np.arange(count)  # (n, count)
        ends = self.ends[words]
        starts = np.empty_like(ends)
        starts[:, 1:] = ends[:, :-1] + 1
        starts[:, 0] = self.line_starts[lines]
        values, exact = _metres(self.text, starts.ravel(), ends.ravel())
        words = words.ravel()
        odd = np.searchsorted(words, self.odd)
        found = odd < len(words)
        found[found] = words[odd[found]] == self.odd[found]
        exact[odd[found]] = False
        others = np.flatnonzero(~exact)
        if len(others):
            values[others] = [float(word) for word in self.words(words[others])]
        return values.reshape(-1, count)


def _metres(text: bytes, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers that stand from `starts` to `ends`, (n,) each, as (n,) float64; and (n,) bool: which of them
    have one digit, a dot and up to eight digits. The values of the others, and of words with letters, mean nothing.
    """
    if len(text) <= 2 * _CHUNK:
        return np.zeros(len(starts)), np.zeros(len(starts), bool)
    characters = np.frombuffer(text, np.uint8)
    negative = characters[starts] == ord("-")
    dots = starts + 1 + negative
    left = characters[dots - 1] - np.uint8(ord("0"))
    num_right = ends - dots - 1  # digits behind the dot
    exact = (characters[dots] == ord(".")) & (left <= 9) & (num_right <= _CHUNK) & (dots < len(text) - _CHUNK)
    if not exact.all():
        dots, num_right = (np.where(exact, array, 0) for array in (dots, num_right))
    # Eight characters as one number, the first in its lowest byte, from anywhere in the text.
    chunks = np.ndarray(len(text) - _CHUNK + 1, "<u8", text, strides=(1,))
    values = (left * 1e8 + _eight_digits(chunks[dots + 1] & _FIRST[num_right])) / 1e8
    return np.where(negative, -values, values), exact


def _eight_digits(chunks: np.ndarray) -> np.ndarray:
    """Return the numbers (n,) float64 that eight characters each, (n,) uint64, spell; bytes of zero count as 0.

    Neighbouring digits are joined in pairs, pairs in fours, fours in eights, all in one word at a time.
    """
    digits = chunks & np.uint64(0x0F0F0F0F0F0F0F0F)
    pairs = (digits * np.uint64(10 * 2**8 + 1) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100 * 2**16 + 1) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return (fours * np.uint64(10_000 * 2**32 + 1) >> np.uint64(32)).astype(np.float64)


def find_words(text: bytes) -> Words | None:
    """Find the words of `text`; None if the spacing is other, or a word without letters is not a number."""
    if not text.endswith(b"\n") or text[:1].isspace() or any(space in text for space in _OTHER_SPACE):
        return None
    codes = np.frombuffer(text.translate(_CODE_OF), np.uint8)
    if ((codes[:-1] >> 4) & codes[1:]).any():
        return None
    if _has_two(codes & _DOT, codes & _BREAK):
        return None
    ends = np.flatnonzero((codes & _BREAK).view(bool))
    odd = np.empty(0, np.int64)
    is_letter = codes == 0
    if is_letter.any():
        odd = np.unique(np.searchsorted(ends, np.flatnonzero(is_letter)))
    return Words(text, ends, np.flatnonzero(np.frombuffer(text, np.uint8)[ends] == ord("\n")), odd)


def _has_two(dots: np.ndarray, breaks: np.ndarray) -> bool:
    """Whether two `dots` stand anywhere without one of `breaks` between them; both (n,) uint8, not 0 where one stands.

    One sum tells for the whole text. As binary numbers, first character lowest, the characters that are no breaks are
    runs of ones, with a zero behind each. Adding a run's first dot clears the run from there on, the carry ends in
    that zero, and any further dot of the run is set again.
    """
    num_dots, num_breaks = (int.from_bytes(np.packbits(marks, bitorder="little").tobytes(), "little")
                            for marks in (dots, breaks))
    words = num_breaks ^ ((1 << len(breaks)) - 1)
    return (words + num_dots) & num_dots != 0
