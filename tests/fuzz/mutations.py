"""What the fuzzers of binary formats do to a good file, and how they run."""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from skeleton_lab.errors import UserError, one_line

Mutation = Callable[[bytes, random.Random], bytes]


def flip_bit(content: bytes, rng: random.Random) -> bytes:
    """Change one bit."""
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1:]


def set_byte(content: bytes, rng: random.Random) -> bytes:
    """Change one byte to any other, or to an extreme one."""
    place = rng.randrange(len(content))
    return content[:place] + bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))]) + content[place + 1:]


def cut_short(content: bytes, rng: random.Random) -> bytes:
    """Drop the end."""
    return content[:rng.randrange(len(content))]


def drop_span(content: bytes, rng: random.Random) -> bytes:
    """Take out some bytes."""
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randrange(1, 20):]


def repeat_span(content: bytes, rng: random.Random) -> bytes:
    """Repeat some bytes."""
    start = rng.randrange(len(content))
    stop = start + rng.randrange(1, 100)
    return content[:stop] + content[start:stop] * rng.randrange(1, 4) + content[stop:]


def swap_spans(content: bytes, rng: random.Random) -> bytes:
    """Copy some bytes over others."""
    start, target, length = rng.randrange(len(content)), rng.randrange(len(content)), rng.randrange(1, 16)
    return content[:target] + content[start:start + length] + content[target + length:]


def inserting(words: Sequence[bytes]) -> Mutation:
    """Return a mutation that puts one of `words` anywhere, or in the place of as many bytes."""

    def insert(content: bytes, rng: random.Random) -> bytes:
        place, word = rng.randrange(len(content)), rng.choice(words)
        return content[:place] + word + content[place + rng.choice((0, len(word))):]

    return insert


BINARY: tuple[Mutation, ...] = (flip_bit, set_byte, set_byte, cut_short, drop_span, repeat_span, swap_spans)


def mutate(seeds: Sequence[bytes], mutations: Sequence[Mutation], rng: random.Random) -> bytes:
    """Return one of `seeds` with one to four things wrong with it, or by chance with none."""
    content = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if content:
            content = rng.choice(mutations)(content, rng)
    return content


def refused_in_one_line(error: UserError, name: str) -> None:
    """Assert that `error` is one short, printable line that begins with the file's name."""
    assert "\n" not in str(error)
    message = one_line(error)
    assert message.startswith(name), message
    assert message.isprintable() and len(message) < 1100, message


def fuzz(check: Callable[[random.Random], bool], count: int, seed: int) -> tuple[int, float]:
    """Check `count` inputs; return how many were read, and the slowest one's seconds. `check` gets a generator."""
    num_read, slowest_s = 0, 0.0
    with limited_memory():
        for number in tqdm(range(seed, seed + count), unit="input", disable=None):
            start = time.perf_counter()
            try:
                num_read += check(random.Random(number))
            except BaseException:
                print(f"input {number}")
                raise
            slowest_s = max(slowest_s, time.perf_counter() - start)
    return num_read, slowest_s


@contextmanager
def limited_memory(more_bytes: int = 1 << 30) -> Iterator[None]:
    """Let this process allocate only so much more, for the block: a bomb then fails here and not on the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def main(check: Callable[[random.Random], bool], description: str | None) -> None:
    """Run a fuzzer's command line, and report."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first input (default: %(default)s)")
    options = parser.parse_args()
    num_read, slowest_s = fuzz(check, options.count, options.seed)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.count:,} inputs: {num_read:,} read, {options.count - num_read:,} refused; "
          f"slowest {1000 * slowest_s:.1f} ms, peak memory {peak_mib:.0f} MiB")
