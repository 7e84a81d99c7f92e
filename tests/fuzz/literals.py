"""Fuzz the reader of dict-valued flags: mutated ones must be read or refused by ValueError, and run nothing.

    python -m tests.fuzz.literals --count 100000
"""

from __future__ import annotations

import random
import warnings

import yaml

from skeleton_lab.train.literals import parse_assignments
from tests.fuzz.mutations import cut_short, drop_span, inserting, main, mutate, repeat_span, swap_spans

SEEDS = (b"bone=True,vel=True", b"p_interval=[0.5,1],data_path='data/x.npz'",
         b"graph_args=dict(labeling_mode='spatial')", b"{'bone':True},vel=True", b"[('bone',True)]",
         b"**{'bone':True}", b"graph_args.a.b=1,graph_args.c=x y", b"a=-0.5,b=None,c=(1,2),d={'e':[1,{2:3}]}")
WORDS = (b"(", b")", b"[", b"]", b"{", b"}", b"'", b'"', b",", b"=", b"==", b".", b"**", b"*", b"dict(", b"lambda:0",
         b"...", b"1j", b"b'x'", b"f'{1}'", b"\\", b"\n", b"\x00", b"9" * 5000, b"1e999", b"nan",
         b"__import__('os').system('true')", b"(" * 300, b"[" * 3000, b"dict(a=" * 300, b"a." * 300, b"-" * 3000,
         b"{1:" * 200, b"\xe2\x80\xa8", b"{1,2}", b"~", b"None", b"True", b"print(1)", b"a if b else c",
         b"[a for a in b]", b"#", b"u'x'", b"0x1F", b"1_0", b"set()")
MUTATIONS = (cut_short, drop_span, repeat_span, swap_spans, *[inserting(WORDS)] * 4)


def check_content(content: bytes) -> bool:
    """Return whether `content` is read; AssertionError if the result is anything but plain data."""
    text = content.decode("utf-8", "replace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's own, about odd literals
            result = parse_assignments(text)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 300, str(error)
        return False
    assert type(result) is dict and all(type(key) is str for key in result)
    assert yaml.safe_load(yaml.safe_dump(result)) is not None  # it can go into the saved config
    return True


def check(rng: random.Random) -> bool:
    """Make an input and check it."""
    return check_content(mutate(SEEDS, MUTATIONS, rng))


if __name__ == "__main__":
    main(check, __doc__)
