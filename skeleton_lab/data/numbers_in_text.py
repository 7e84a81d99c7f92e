"""Decimal numbers in text, found, checked and converted many at a time with numpy.

`float()` on each of the 25,000 words of a recording is what makes straightforward readers slow. Here the text
is classified byte by byte through lookup tables, and the few columns wanted are converted by one matrix product.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# What a byte may be, one bit each.
_SPACE, _NEWLINE, _DIGIT, _DOT, _SIGN, _LETTER, _OTHER_SPACE = 1, 2, 4, 8, 16, 32, 64
_BREAK = _SPACE | _NEWLINE
# What may follow it. A word with a letter in it (1e-5, nan) is looked at on its own, so a letter allows anything.
_ANY = _BREAK | _DIGIT | _DOT | _SIGN | _LETTER
_FOLLOWERS = {
    _SPACE: _DIGIT | _DOT | _SIGN | _LETTER,
    _NEWLINE: _DIGIT | _DOT | _SIGN | _LETTER,
    _DIGIT: _BREAK | _DIGIT | _DOT | _LETTER,
    _DOT: _DIGIT,
    _SIGN: _DIGIT | _DOT | _LETTER,
    _LETTER: _ANY,
    _OTHER_SPACE: 0,
}


def _kinds() -> bytes:
    kinds = bytearray([_LETTER]) * 256
    for characters, kind in ((b" ", _SPACE), (b"\n", _NEWLINE), (b"0123456789", _DIGIT), (b".", _DOT), (b"+-", _SIGN),
                             (b"\t\v\f\r", _OTHER_SPACE)):
        for character in characters:
            kinds[character] = kind
    return bytes(kinds)


_KIND_OF = _kinds()
_FOLLOWERS_OF = bytes(_FOLLOWERS[kind] for kind in _KIND_OF)
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

    def values(self, words: np.ndarray) -> np.ndarray:
        """Return the words numbered `words` as float64, exactly as `float()` would. They must be numbers."""
        ends, starts = self.ends[words], self.starts_of(words)
        lengths = ends - starts
        exact = (lengths <= _MAX_EXACT_WIDTH) & (ends >= _MAX_EXACT_WIDTH)
        if len(self.odd):
            exact &= ~np.isin(words, self.odd)
        width = int(np.max(lengths, where=exact, initial=1))
        characters = np.frombuffer(self.text, np.uint8)
        # (W, width): each word's characters, flush right; what is left of the word, its sign and its dot count as zero.
        digits = sliding_window_view(characters, width)[np.maximum(ends - width, 0)]
        digits -= np.uint8(ord("0"))  # wraps round to above 9 for anything but a digit
        digits *= (digits <= 9) & (lengths.astype(np.uint8)[:, None] >= np.arange(width, 0, -1, dtype=np.uint8))
        joined = digits.astype(np.float64) @ _POWERS[width - 1::-1]
        # A dot takes a digit's place, so the whole part of a word with a dot stands one place too high.
        dots = self.marks[self.breaks[words] - 1]  # the mark before a word's end: its dot, if it has one
        has_dot = (dots >= starts) & (dots < ends) & exact
        decimals = (ends - dots - 1) * has_dot
        scale = _POWERS[decimals]
        whole = np.floor(joined / _POWERS[decimals + has_dot])
        values = (joined - whole * (9 * scale * has_dot)) / scale
        np.negative(values, out=values, where=characters[starts] == ord("-"))
        values[~exact] = [float(word) for word in self.words(words[~exact])]
        return values


def find_words(text: bytes) -> Words | None:
    """Find the words of `text`; None if the spacing is other, or a word without letters is not a number."""
    if not text.endswith(b"\n") or text[:1].isspace():
        return None
    kinds = np.frombuffer(text.translate(_KIND_OF), np.uint8)
    followers = np.frombuffer(text.translate(_FOLLOWERS_OF), np.uint8)
    if not (followers[:-1] & kinds[1:]).all():
        return None
    marks = np.flatnonzero((kinds & (_BREAK | _DOT)) != 0)  # spaces, newlines and dots
    kinds_of_marks = kinds[marks]
    is_dot = kinds_of_marks == _DOT
    if (is_dot[1:] & is_dot[:-1]).any():  # two dots in one word
        return None
    breaks = np.flatnonzero(~is_dot)
    ends = marks[breaks]
    odd = np.empty(0, np.int64)
    if (kinds == _LETTER).any():
        odd = np.unique(np.searchsorted(ends, np.flatnonzero(kinds == _LETTER)))
    return Words(text, ends, np.flatnonzero(kinds_of_marks[breaks] == _NEWLINE), odd, marks, breaks)
