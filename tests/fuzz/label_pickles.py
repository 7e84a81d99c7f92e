"""Fuzz the reader of label and score pickles: mutated ones must be read or refused in one line, and run nothing.

    python -m tests.fuzz.label_pickles --count 100000

While a pickle is read, Python itself watches for anything that opens, imports, starts or connects to something.
"""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.class_indices import nothing
from skeleton_lab.data.formats.labels import read_labels
from skeleton_lab.errors import UserError
from skeleton_lab.pickles import load_plain_pickle
from tests.fuzz.mutations import BINARY, inserting, main, mutate, refused_in_one_line
from tests.fuzz.watch import FOLDER, Watch

LABELS = (["S001C001P001R001A001", "b"], [3, 59])
SCORES = {"S001": np.arange(3, dtype=np.float32), "b": np.zeros(3, np.float32)}
SEEDS = (*(pickle.dumps(value, protocol) for value in (LABELS, SCORES, (np.array(["a", "b"]), np.array([1, 2])),
                                                       (["x"], [np.int64(4)])) for protocol in (0, 2, 4, 5)),)
WORDS = (b"cos\nsystem\n", b"cbuiltins\neval\n", b"c__builtin__\nexec\n", b"csubprocess\nPopen\n", b"(S'true'\ntR.",
         b"\x8c\x02os\x8c\x06system\x93", b"cnumpy\nload\n", b"cnumpy.core.multiarray\n_reconstruct\n",
         b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"R", b"b", b"\x81", b"\x92", b"o", b"i", b"P0\n", b"Q", b"\x94",
         b"h\x00", b"0", b"2", b"(", b"t", b"]", b"}", b"u", b"s", b"e", b".",
         b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f", b"J\xff\xff\xff\x7f", b"\x8a\xff",
         b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"I" + b"9" * 5000 + b"\n")
MUTATIONS = (*BINARY, inserting(WORDS), inserting(WORDS))
FORBIDDEN = ("exec", "compile", "import", "open", "os.", "subprocess.", "socket.", "ctypes.", "shutil.", "tempfile.")
for _codec in ("unicode_escape", "raw_unicode_escape", "latin-1", "utf-8", "ascii"):
    "".encode(_codec)  # Python imports a codec when it is first used
WATCH = Watch(FORBIDDEN)


def check_content(content: bytes) -> bool:
    """Return whether `content` is a pickle of plain data; AssertionError if the reader does not do as it should."""
    path = FOLDER / f"skeleton-lab-fuzz-{os.getpid()}.pkl"
    path.write_bytes(content)
    WATCH.start()
    try:
        load_plain_pickle(path)
        return _labels(path)
    except UserError as error:
        WATCH.on = False
        refused_in_one_line(error, str(path))
        return False
    finally:
        WATCH.on = False
        path.unlink()
        WATCH.stop(path)


def _labels(path: Path) -> bool:
    """Plain data; as labels it is two lists of equal length, or refused."""
    try:
        names, labels = read_labels(path, nothing)
    except UserError as error:
        refused_in_one_line(error, str(path))
        return True
    assert len(names) == len(labels) and all(type(name) is str for name in names)
    assert all(type(label) is int and -1 <= label < 100_000 for label in labels)
    return True


def check(rng: random.Random) -> bool:
    """Make an input and check it."""
    return check_content(mutate(SEEDS, MUTATIONS, rng))


if __name__ == "__main__":
    main(check, __doc__)
