"""Decimal numbers in text, found, checked and converted many at a time with numpy.

`float()` on each of the 25,000 words of a recording is what makes straightforward readers slow. Here the text
is classified byte by byte through lookup tables, and the few columns wanted are converted by one matrix product.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

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

# Up to here a word's digits, read as one whole number, are exact in a float64, and so is the power of ten that
# divides them: the quotient is then the correctly rounded value, as from `float()` (Clinger 1990).
_MAX_EXACT_WIDTH = 15
_POWERS = 10.0 ** np.arange(_MAX_EXACT_WIDTH + 2)




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

    text: the text's bytes. ends: (W,) int64, the position of the space or newline behind each word.
    last_of_line: (L,) int64, the number of the last word of each line. odd: the numbers of the words that contain a
    letter, ascending. marks: the positions of all spaces, newlines and dots. breaks: (W,) int64, where in `marks`
    the entries of `ends` stand.
    """

    text: bytes
    ends: np.ndarray
    last_of_line: np.ndarray
    odd: np.ndarray
    marks: np.ndarray
    breaks: np.ndarray

    def starts_of(self, words: np.ndarray) -> np.ndarray:
        """Return where the words numbered `words` begin."""
        return np.where(words > 0, self.ends[words - 1] + 1, 0)

    def words(self, numbers: np.ndarray) -> list[bytes]:
        """Return the words of these numbers."""
        bounds = zip(self.starts_of(numbers).tolist(), self.ends[numbers].tolist(), strict=True)
        return [self.text[start:end] for start, end in bounds]

    def are_numbers(self) -> bool:
        """Whether every word is a number: those without a letter are known to be, so it looks at the others."""
        return all(map(is_number, set(self.words(self.odd))))

    def values(self, lines: np.ndarray, count: int) -> np.ndarray:
        """Return the first `count` words of `lines`, (n, count) float64, exactly as `float()` would.

        They must be numbers, and the lines must have as many words.
        """
        last = np.concatenate(([-1], self.last_of_line[:-1]))[lines, None] + np.arange(count + 1)  # (n, count + 1)
        around = np.where(last >= 0, self.ends[last], -1)
        starts, ends = (around[:, :-1] + 1).ravel(), around[:, 1:].ravel()
        dots = self.marks[self.breaks[last[:, 1:]] - 1].ravel()  # the mark before a word's end: its dot, if it has one
        exact = (ends - starts <= _MAX_EXACT_WIDTH) & (ends >= _MAX_EXACT_WIDTH)
        if len(self.odd):
            is_odd = np.zeros(len(self.ends), bool)
            is_odd[self.odd] = True
            exact &= ~is_odd[last[:, 1:]].ravel()
        values = _decimals(np.frombuffer(self.text, np.uint8), starts, ends, dots, exact)
        others = np.flatnonzero(~exact)
        values[others] = [float(self.text[starts[word]:ends[word]]) for word in others]
        return values.reshape(-1, count)


def _decimals(characters: np.ndarray, starts: np.ndarray, ends: np.ndarray, dots: np.ndarray,
              exact: np.ndarray) -> np.ndarray:
    """Return the plain decimal numbers that stand from `starts` to `ends` (n,), with their dot at `dots` if that is
    in between, as (n,) float64. Where not `exact` (n,) bool, the value means nothing.
    """
    lengths = ends - starts
    width = int(np.max(lengths, where=exact, initial=1))
    # (n, width): each word's characters, flush right; what is left of the word, its sign and its dot count as zero.
    digits = sliding_window_view(characters, width)[np.maximum(ends - width, 0)]
    digits -= np.uint8(ord("0"))  # wraps round to above 9 for anything but a digit
    digits *= digits <= 9
    digits *= lengths.astype(np.uint8)[:, None] >= np.arange(width, 0, -1, dtype=np.uint8)
    joined = digits.astype(np.float64) @ _POWERS[width - 1::-1]
    # A dot takes a digit's place, so the whole part of a word with a dot stands one place too high.
    has_dot = (dots >= starts) & (dots < ends) & exact
    decimals = (ends - dots - 1) * has_dot
    scale = _POWERS[decimals]
    whole = np.floor(joined / _POWERS[decimals + has_dot])
    values = (joined - whole * (9 * scale * has_dot)) / scale
    np.negative(values, out=values, where=characters[starts] == ord("-"))
    return values


def find_words(text: bytes) -> Words | None:
    """Find the words of `text`; None if the spacing is other, or a word without letters is not a number."""
    if not text.endswith(b"\n") or text[:1].isspace() or any(space in text for space in _OTHER_SPACE):
        return None
    codes = np.frombuffer(text.translate(_CODE_OF), np.uint8)
    if ((codes[:-1] >> 4) & codes[1:]).any():
        return None
    marks = np.flatnonzero((codes & (_BREAK | _DOT)) != 0)
    is_dot = (codes[marks] & _DOT) != 0
    if (is_dot[1:] & is_dot[:-1]).any():  # two dots in one word
        return None
    breaks = np.flatnonzero(~is_dot)
    ends = marks[breaks]
    last_of_line = np.flatnonzero(np.frombuffer(text, np.uint8)[ends] == ord("\n"))
    odd = np.empty(0, np.int64)
    is_letter = codes == 0
    if is_letter.any():
        odd = np.unique(np.searchsorted(ends, np.flatnonzero(is_letter)))
    return Words(text, ends, last_of_line, odd, marks, breaks)
