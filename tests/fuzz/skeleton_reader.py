"""Fuzz the `.skeleton` reader: mutated recordings must be read or refused in one line, quickly and in little memory.

    python -m tests.fuzz.skeleton_reader --count 100000

Every input is judged twice: by the reader, which is vectorised, and by the format's description line by line, which is
not. They must agree on whether it is a recording, and on every number in it.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats.skeleton_file import faults, parse_recording
from skeleton_lab.errors import UserError
from tests.skeleton_texts import OTHER_ID, body_lines, one_body, recording_lines

SEEDS = tuple("\n".join(lines).encode() + b"\n" for lines in (
    one_body(2), recording_lines([body_lines(), body_lines(OTHER_ID, 1)], [], [body_lines()]), ["3", "0", "0", "0"],
    [line.replace(" ", "  ") + "\r" for line in one_body(1)]))
WORDS = (
    b"-1", b"0", b"1", b"2", b"24", b"25", b"26", b"1e9", b"999999999", b"9" * 30, b"9" * 5000, b"nan", b"-inf",
    b"1e400", b"1e-400", b".5", b"5.", b"+-1", b"1.2.3", b"0x19", b"1_0", b"", b" ", b"\n", b"\n\n", b"\r", b"\r\n",
    b"\t", b"\x00", b"\xff\xfe", b"\xd9\xa3", b"\x1b[31m", b"-0", b"1E-05", b"-1.34e+02", b"0" * 40 + b"1",
    b"0." + b"3" * 40, b"\x0b", b"\x0c", b"\x85", b"\xa0", b"e", b"e5", b"--", b"25 25", b"72057594037931101",
)

Mutation = Callable[[bytes, random.Random], bytes]


def flip_byte(text: bytes, rng: random.Random) -> bytes:
    """Change one byte to any other."""
    place = rng.randrange(len(text))
    return text[:place] + bytes([rng.randrange(256)]) + text[place + 1:]


def cut_short(text: bytes, rng: random.Random) -> bytes:
    """Drop the end."""
    return text[:rng.randrange(len(text))]


def drop_span(text: bytes, rng: random.Random) -> bytes:
    """Take out some bytes."""
    start = rng.randrange(len(text))
    return text[:start] + text[start + rng.randrange(1, 40):]


def repeat_span(text: bytes, rng: random.Random) -> bytes:
    """Repeat some bytes."""
    start = rng.randrange(len(text))
    stop = start + rng.randrange(1, 200)
    return text[:stop] + text[start:stop] * rng.randrange(1, 4) + text[stop:]


def insert_word(text: bytes, rng: random.Random) -> bytes:
    """Put something odd anywhere."""
    place = rng.randrange(len(text))
    return text[:place] + rng.choice(WORDS) + text[place:]


def replace_word(text: bytes, rng: random.Random) -> bytes:
    """Put something odd in a word's place."""
    lines = text.split(b"\n")
    line = rng.randrange(len(lines))
    words = lines[line].split(b" ")
    words[rng.randrange(len(words))] = rng.choice(WORDS)
    lines[line] = b" ".join(words)
    return b"\n".join(lines)


def shuffle_lines(text: bytes, rng: random.Random) -> bytes:
    """Drop, repeat or swap a line."""
    lines = text.split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(3)
    if kind == 0:
        del lines[one]
    elif kind == 1:
        lines.insert(one, lines[other])
    else:
        lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


MUTATIONS: tuple[Mutation, ...] = (flip_byte, cut_short, drop_span, repeat_span, insert_word, replace_word,
                                   replace_word, shuffle_lines)


def mutate(rng: random.Random) -> bytes:
    """Return a recording with one to four things wrong with it, or by chance with none."""
    text = rng.choice(SEEDS)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if text:
            text = rng.choice(MUTATIONS)(text, rng)
    return text


def check(text: bytes) -> bool:
    """Return whether `text` is a recording; AssertionError if the reader does not do as it should."""
    described = next(faults(text.replace(b"\r\n", b"\n")), None)
    try:
        recording = parse_recording(text, "clip")
    except UserError as error:
        message = str(error)
        assert described is not None, f"refused without a fault: {message}"
        assert message.startswith(f"clip:{described[0]}: {described[1]}"), message
        assert message.isprintable() and len(message) < 300, message
        return False
    assert described is None, f"accepted in spite of {described}"
    rows = [line.split() for line in text.rstrip().split(b"\n")]
    expected = np.array([[float(word) for word in row[:3]] for row in rows if len(row) == 12]).reshape(-1, 25, 3)
    np.testing.assert_array_equal(recording.joints, expected)
    assert [row[0].decode() for row in rows if len(row) == 10] == list(recording.body_ids)
    return True


def main() -> None:
    """Run the fuzzer and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first input (default: %(default)s)")
    options = parser.parse_args()
    num_read, slowest_s = 0, 0.0
    for number in tqdm(range(options.seed, options.seed + options.count), unit="input"):
        text = mutate(random.Random(number))
        start = time.perf_counter()
        try:
            num_read += check(text)
        except BaseException:
            print(f"input {number}: {text[:2000]!r}")
            raise
        slowest_s = max(slowest_s, time.perf_counter() - start)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.count:,} inputs: {num_read:,} read, {options.count - num_read:,} refused; "
          f"slowest {1000 * slowest_s:.1f} ms, peak memory {peak_mib:.0f} MiB")


if __name__ == "__main__":
    main()
