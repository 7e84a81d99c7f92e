"""Properties of the configuration: what is written reads back, and both ways of saying a thing are the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_lab.errors import UserError
from skeleton_lab.train import flags
from skeleton_lab.train.config import read_config, save_config
from skeleton_lab.train.literals import parse_assignments
from skeleton_lab.train.settings import COMMON_FLAGS, Config
from skeleton_lab.train.spec import Flag, TreeSpec

SPEC = TreeSpec(root=Path())
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\{}\0"), min_size=1, max_size=8)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers(-10**12, 10**12) | FINITE | st.text(max_size=12)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
                      max_leaves=6)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=4)
BY_TYPE = {flags.boolean: st.booleans(), flags.natural: st.integers(0, 10**9), flags.positive: st.integers(1, 10**9),
           flags.real: st.floats(0, 1e9), flags.text: WORDS, flags.device_index: st.integers(0, 9) | st.just("cpu")}
# Settings that other settings or the machine restrict are left at their defaults.
LEFT_OUT = {"config", "resume", "overwrite", "forward_batch_size", "descriptors", "fusion", "device",
            "sync_bn", "compile", "accept_changes", "runtime"}
FLAGS = [flag for flag in COMMON_FLAGS
         if flag.key not in LEFT_OUT and (flag.mapping or flag.choices or flag.convert in BY_TYPE)]


def values_of(flag: Flag) -> st.SearchStrategy[Any]:
    """Values that a setting may have."""
    if flag.mapping:
        return MAPPINGS
    one = st.sampled_from(flag.choices) if flag.choices else BY_TYPE[flag.convert]
    if flag.many:  # on a command line a list ends at a word that looks like a flag
        return st.lists(one.filter(lambda value: not str(value).startswith("-")), min_size=1, max_size=3)
    return one


SETTINGS = st.fixed_dictionaries({}, optional={flag.key: values_of(flag) for flag in FLAGS})


def argv_of(chosen: dict[str, Any]) -> list[str]:
    """The same settings as a command line."""
    words = []
    for flag in FLAGS:
        value = chosen.get(flag.key)
        if value is not None:
            name = f"--{flag.key.replace('_', '-')}"
            words += [name, *map(str, value)] if flag.many else [f"{name}={value}"]
    return words


def read_back(chosen: dict[str, Any], *argv: str) -> dict[str, Any]:
    """Settings as a config file gives them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(chosen), encoding="utf-8")
        return {**vars(read_config(SPEC, ["--config", str(path), *argv])), "config": None}


@settings(max_examples=60)
@given(SETTINGS)
def test_a_saved_config_reads_back_the_same(chosen):
    first = read_back(chosen)
    assert {key: first[key] for key in chosen} == chosen
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        save_config(Config(**first), SPEC, path)
        assert {**vars(read_config(SPEC, ["--config", str(path)])), "config": None} == first


@settings(max_examples=60)
@given(SETTINGS)
def test_the_command_line_says_the_same_as_a_file(chosen):
    from_words = {**vars(read_config(SPEC, argv_of(chosen))), "config": None}
    assert from_words == read_back(chosen)


@settings(max_examples=30)
@given(SETTINGS, st.integers(0, 10**9), MAPPINGS)
def test_the_command_line_wins_and_mappings_merge(chosen, seed, options):
    read = read_back(chosen, "--seed", str(seed), f"--model-args={options!r}")
    assert read["seed"] == seed
    assert read["model_args"] == {**chosen.get("model_args", {}), **options}


@settings(max_examples=100)
@given(MAPPINGS)
def test_assignments_read_back(options):
    assert parse_assignments(repr(options)) == options
    assert parse_assignments(",".join(f"{key}={value!r}" for key, value in options.items())) == options
    assert parse_assignments(f"**{options!r}") == options


@settings(max_examples=200)
@given(st.text(max_size=30))
def test_any_word_is_read_or_refused(word):
    try:
        assert isinstance(parse_assignments(word), dict)
    except ValueError as error:
        assert "\n" not in str(error)


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_any_file_is_read_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(content, encoding="utf-8", newline="")
        try:
            read_config(SPEC, ["--config", str(path)])
        except UserError as error:
            assert str(error).startswith(f"{path}: ")
