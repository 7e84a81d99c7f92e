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

# Words are converted from the eight characters before their dot and the eight behind it. With at most seven digits
# before it, the word read as one whole number is exact in a float64, and so is 10^8, which divides it: the quotient is
# then the correctly rounded value, as from `float()` (Clinger 1990).
_CHUNK = 8
_MAX_LEFT = 7
# Masks for the first 0 to 8 characters of eight, and for the last.
_FIRST = np.array([2**(8 * count) - 1 for count in range(_CHUNK + 1)], np.uint64)
_LAST = ~_FIRST[::-1]


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

    text: the text's bytes. marks: the positions of all spaces, newlines and dots. breaks: (W,) int64, where in `marks`
    the space or newline behind each word stands. last_of_line: (L,) int64, the number of the last word of each line.
    odd: the numbers of the words that contain a letter, ascending.
    """

    text: bytes
    marks: np.ndarray
    breaks: np.ndarray
    last_of_line: np.ndarray
    odd: np.ndarray

    @cached_property
    def line_ends(self) -> np.ndarray:
        """(L,) int64: the position of each line's newline."""
        return self.ends_of(self.last_of_line)

    @cached_property
    def first_of_line(self) -> np.ndarray:
        """(L,) int64: the number of the first word of each line."""
        return np.concatenate(([0], self.last_of_line[:-1] + 1))

    def ends_of(self, words: np.ndarray) -> np.ndarray:
        """Return the position behind each of the words numbered `words`."""
        return self.marks[self.breaks[words]]

    def starts_of(self, words: np.ndarray) -> np.ndarray:
        """Return the position at which each of the words numbered `words` begins."""
        return np.where(words > 0, self.ends_of(words - 1) + 1, 0)

    def words(self, numbers: np.ndarray) -> list[bytes]:
        """Return the words of these numbers."""
        bounds = zip(self.starts_of(numbers).tolist(), self.ends_of(numbers).tolist(), strict=True)
        return [self.text[start:end] for start, end in bounds]

    def are_numbers(self) -> bool:
        """Whether every word is a number: those without a letter are known to be, so it looks at the others."""
        return all(map(is_number, set(self.words(self.odd))))

    def values(self, lines: np.ndarray, count: int) -> np.ndarray:
        """Return the first `count` words of `lines`, (n, count) float64, exactly as `float()` would.

        They must be numbers, and the lines, in ascending order, must have as many words.
        """
        words = self.first_of_line[lines, None] + np.arange(count)  # (n, count)
        breaks = self.breaks[words]
        ends = self.marks[breaks]
        starts = np.empty_like(ends)
        starts[:, 1:] = ends[:, :-1] + 1
        starts[:, 0] = np.concatenate(([0], self.line_ends[:-1] + 1))[lines]
        before = self.marks[breaks - 1]  # the mark before a word's end: its dot, if it has one
        dots = np.where((before >= starts) & (before < ends), before, ends)
        values, exact = _decimals(self.text, starts.ravel(), dots.ravel(), ends.ravel())
        words = words.ravel()
        odd = np.searchsorted(words, self.odd)
        found = odd < len(words)
        found[found] = words[odd[found]] == self.odd[found]
        exact[odd[found]] = False
        others = np.flatnonzero(~exact)
        if len(others):
            values[others] = [float(word) for word in self.words(words[others])]
        return values.reshape(-1, count)


def _decimals(text: bytes, starts: np.ndarray, dots: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the plain decimal numbers that stand from `starts` to `ends`, with their dots at `dots` (or at their ends
    if they have none), all (n,), as (n,) float64; and (n,) bool, which of them fit and are therefore exact.
    """
    sign = np.frombuffer(text, np.uint8)[starts]
    num_left = dots - starts - ((sign == ord("-")) | (sign == ord("+")))  # digits before the dot
    num_right = np.maximum(ends - dots - 1, 0)  # and behind it
    exact = (num_left <= _MAX_LEFT) & (num_right <= _CHUNK) & (dots >= _CHUNK) & (dots + _CHUNK < len(text))
    if not exact.all():
        dots, num_left, num_right = (np.where(exact, array, _CHUNK) for array in (dots, num_left, num_right))
    if len(text) <= 2 * _CHUNK:
        return np.zeros(len(starts)), exact
    # Eight characters as one number, the first in its lowest byte, from anywhere in the text.
    chunks = np.ndarray(len(text) - _CHUNK + 1, "<u8", text, strides=(1,))
    whole = _eight_digits(chunks[dots - _CHUNK] & _LAST[num_left])
    fraction = _eight_digits(chunks[dots + 1] & _FIRST[num_right])
    values = (whole * 1e8 + fraction) / 1e8
    return np.where(sign == ord("-"), -values, values), exact


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
    marks = np.flatnonzero((codes & (_BREAK | _DOT)) != 0)
    marked = np.frombuffer(text, np.uint8)[marks]
    is_dot = marked == ord(".")
    if (is_dot[1:] & is_dot[:-1]).any():  # two dots in one word
        return None
    breaks = np.flatnonzero(~is_dot)
    odd = np.empty(0, np.int64)
    is_letter = codes == 0
    if is_letter.any():
        odd = np.unique(np.searchsorted(marks[breaks], np.flatnonzero(is_letter)))
    return Words(text, marks, breaks, np.flatnonzero(marked[breaks] == ord("\n")), odd)
