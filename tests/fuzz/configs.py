"""Fuzz the reader of YAML configs: mutated ones must be read or refused in one line, and run nothing.

    python -m tests.fuzz.configs --count 100000

A part of what is read is written again, and must read back the same.
"""

from __future__ import annotations

import os
import random

import yaml

from skeleton_lab.errors import UserError
from skeleton_lab.train.config import read_config, read_yaml, save_config
from skeleton_lab.train.settings import COMMON_FLAGS
from skeleton_lab.train.spec import TreeSpec
from tests.fuzz.mutations import (
    cut_short,
    drop_span,
    flip_bit,
    inserting,
    main,
    mutate,
    refused_in_one_line,
    repeat_span,
    set_byte,
)
from tests.fuzz.watch import FOLDER, Watch
from tests.trees import ROOT

SPEC = TreeSpec(root=ROOT)
FLAGS = {flag.key: flag for flag in COMMON_FLAGS}
SHARE_WRITTEN_AGAIN = 0.1  # it takes five times as long
SEEDS = (
    b"work_dir: ./work_dir/x\nfeeder: feeders.feeder_ntu.Feeder\ntrain_feeder_args: {data_path: data/x.npz, "
    b"window_size: 64, p_interval: [0.5, 1]}\nmodel: model.ctrgcn.Model\nmodel_args: {num_class: 60}\nstep: [35, 55]\n",
    b"test_feeder_args:\n  data_path: d\n  debug: False\nnum_epoch: 65\ndevice: 0\nnesterov: True\nbase_lr: 4e-4\n",
    b"device: [0, 1]\noptimizer: SGD\nhalf: true\nseed: 1\nignore_weights: []\nsave_score: yes\nwarm_up_epoch: 5\n",
)
WORDS = (b"!!python/object/apply:os.system ['true']", b"!!python/name:os.system", b"!!binary aGVsbG8=",
         b"!!set {a, b}", b"!!timestamp 2001-99-99", b"2001-01-01", b"2001-99-99", b"&a ", b"*a", b"<<: *a", b"[",
         b"]", b"{", b"}", b": ", b"- ", b"\n", b"\n---\n", b"\n...\n", b"? ", b"|\n", b">", b"'", b'"', b"\\x", b"#",
         b"%YAML 9.9", b"\t", b"~", b"null", b"-1", b"1e999", b".nan", b".inf", b"-.inf", b"0x10", b"0o7", b"1_000",
         b"1:30:00", b"9" * 5000, b"no", b"\xff\xfe", b"\x00", b"\xc2\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80",
         b"\xf0\x9f\x98\x80", b"[" * 90, b"{a: " * 90, b"- " * 90,
         *(f"{flag.key}: ".encode() for flag in COMMON_FLAGS))
MUTATIONS = (flip_bit, set_byte, cut_short, drop_span, repeat_span, *[inserting(WORDS)] * 5)
FORBIDDEN = ("exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "subprocess.", "socket.", "ctypes.")
WATCH = Watch(FORBIDDEN)


def check_content(content: bytes, write_again: bool = True) -> bool:
    """Return whether `content` is a config; AssertionError if the reader does not do as it should."""
    path = FOLDER / f"skeleton-lab-fuzz-{os.getpid()}.yaml"
    path.write_bytes(content)
    WATCH.start()
    try:
        read_yaml(path, FLAGS)
        if not write_again:
            return True
        config = read_config(SPEC, ["--config", str(path)])
        save_config(config, SPEC, path)
        again = read_config(SPEC, ["--config", str(path)])
        for key, value in vars(config).items():
            if key not in ("resume", "overwrite", "config"):
                assert yaml.safe_dump(getattr(again, key)) == yaml.safe_dump(value), key
        return True
    except UserError as error:
        WATCH.on = False
        refused_in_one_line(error, "--" if str(error).startswith("--") else str(path))  # of settings that clash, flags
        return False
    finally:
        WATCH.on = False
        path.unlink()
        assert not WATCH.seen, WATCH.seen


def check(rng: random.Random) -> bool:
    """Make an input and check it."""
    return check_content(mutate(SEEDS, MUTATIONS, rng), write_again=rng.random() < SHARE_WRITTEN_AGAIN)


if __name__ == "__main__":
    main(check, __doc__)
