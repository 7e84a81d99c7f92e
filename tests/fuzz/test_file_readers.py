"""Bounded runs of the fuzzers of archives, pickles, configs, flags and recordings; each runs at length as a script."""

from __future__ import annotations

import pytest

from tests.fuzz import archives, configs, label_pickles, literals, pose_files, pyskl_files, recordings
from tests.fuzz.mutations import fuzz, limited_memory

COUNT = 1500
FUZZERS = (archives, label_pickles, configs, literals, recordings)


@pytest.mark.parametrize("fuzzer", FUZZERS, ids=lambda module: module.__name__)
def test_seeds_are_read(fuzzer):
    assert all(fuzzer.check_content(seed) for seed in fuzzer.SEEDS)


@pytest.mark.parametrize("fuzzer", FUZZERS, ids=lambda module: module.__name__)
def test_mutated_inputs_are_read_or_refused(fuzzer):
    num_read, _ = fuzz(fuzzer.check, COUNT, seed=0)
    assert 20 < num_read < COUNT - 20


@pytest.mark.parametrize("content", [
    b"\x80\x02]r\xff\xff\xff\x7f.", b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
    b"\x80\x02(" + b"cnumpy\ndtype\n" * 300 + b"t.", b"(" * 50_000,
])
def test_pickle_bombs_take_no_memory(content):
    with limited_memory(64 << 20):
        assert not label_pickles.check_content(content)


def test_yaml_that_multiplies_is_refused_in_little_memory():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with limited_memory(64 << 20):
        assert not configs.check_content("\n".join([*lines, "model_args: {a: *a11}"]).encode())
        assert not configs.check_content(b"model_args: &a {a: *a}")
        assert not configs.check_content(b"#" * (1 << 20) + b"\nseed: 1")
        assert not configs.check_content(b"[" * 5000)


def test_mutated_files_of_pyskl_are_read_or_refused():
    assert all(pyskl_files.check_content(seed) for seed in pyskl_files.SEEDS)
    num_read, _ = fuzz(pyskl_files.check, 150, seed=0)
    assert 5 < num_read < 145


def test_mutated_pose_files_are_read_or_refused():
    assert all(pose_files.check_content(seed) for seed in pose_files.SEEDS)
    num_read, _ = fuzz(pose_files.check, 400, seed=0)
    assert 15 < num_read < 385
