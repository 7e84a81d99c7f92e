"""Numbers in text: every value exactly as float() gives it, every word that is no number found."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_lab.data.formats.numbers_in_text import find_words, is_number

NUMBERS = ("0", "-0", "7", "-7", "+7", "0.5", "-.5", "123456789012345", "1234567890123456789",
           "0.1234567890123456789", "72057594037931101", "-0.05347504", "99999999.9999999", "1e5", "-1.34E-05", "1E+2",
           "nan", "-inf", "Infinity", "000001.500000", "4.9406564584124654e-324", "0.30000000000000004")
OTHER_WORDS = ("", "-", "+", ".", "1.", "-.", "1..2", "1.2.3", "--1", "1-2", "1e", "e5", "1e5.5", "1e5e5", "0x10",
               "1_0", "1,5", "ten", "nan1", "infinit", "٣", "1\x00", "1.e5", "1.2e3.4.5")


def values_of(*words: str) -> np.ndarray:
    found = find_words((" ".join(words) + "\n").encode())
    assert found is not None and found.are_numbers()
    return found.values(np.array([0]), len(words))[0]


def quickly_accepted(text: str) -> bool:
    found = find_words(text.encode())
    return found is not None and found.are_numbers()


def test_values_are_those_of_float() -> None:
    padding = ["1"] * 20  # words at the very start of a text take another way
    for words in ([*NUMBERS, *padding], [*padding, *NUMBERS]):
        np.testing.assert_array_equal(values_of(*words), [float(word) for word in words])
    assert math.copysign(1, values_of(*padding, "-0")[-1]) == -1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.floats(), st.integers(-10**20, 10**20),
                          st.decimals(-1000, 1000, places=7)).map(str), min_size=1, max_size=40))
def test_any_number_is_that_of_float(words: list[str]) -> None:
    np.testing.assert_array_equal(values_of(*words), [float(word) for word in words])


@pytest.mark.parametrize("word", OTHER_WORDS)
def test_a_word_that_is_no_number_is_found(word: str) -> None:
    assert not is_number(word.encode())
    assert not quickly_accepted(f"1.5 {word} 2\n3\n")
    assert not quickly_accepted(f"{word} 2\n3\n")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.+-eEnaif x", min_size=1, max_size=12).filter(lambda word: " " not in word))
def test_quick_check_agrees_with_the_definition(word: str) -> None:
    assert quickly_accepted(f"1 {word} 2\n") == is_number(word.encode())


def test_words_and_lines_are_counted() -> None:
    words = find_words(b"1 2.5\n3\n4 5 6\n")
    assert words is not None
    assert words.last_of_line.tolist() == [1, 2, 5]
    np.testing.assert_array_equal(words.values(np.array([0, 2]), 2), [[1, 2.5], [4, 5]])
    np.testing.assert_array_equal(words.values(np.array([1, 2]), 1), [[3], [4]])
    assert words.words(np.arange(6)) == [b"1", b"2.5", b"3", b"4", b"5", b"6"]


@pytest.mark.parametrize("text", [b"", b"\n", b" 1\n", b"1 \n", b"1  2\n", b"1\n\n2\n", b"1\t2\n", b"1"])
def test_other_spacing_is_refused(text: bytes) -> None:
    assert find_words(text) is None
