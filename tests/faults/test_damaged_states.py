"""A training state with any byte of it wrong, or cut short anywhere, is told and not used."""

from __future__ import annotations

import io
import random

import pytest
import torch

from skeleton_lab.errors import UserError
from skeleton_lab.train.checkpoint import load_state, save_state
from skeleton_lab.train.torch_file import read_torch_file
from skeleton_lab.train.workdir import WorkDir


def small_state(step: int) -> dict:
    """A state of every kind of value, as small as can be."""
    return {"w": torch.arange(3.0) + step, "progress": {"step": step, "loss": 0.5}, "python": (3, True, None)}


def same(first, second) -> bool:
    """Whether two states are equal in every value."""
    if isinstance(first, dict):
        return (isinstance(second, dict) and list(first) == list(second)
                and all(same(first[key], second[key]) for key in first))
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    return type(first) is type(second) and first == second


@pytest.fixture
def work_dir(tmp_path):
    work_dir = WorkDir(tmp_path, log_to_file=False)
    save_state(small_state(1), work_dir)
    save_state(small_state(2), work_dir)
    return work_dir


def outcome(work_dir, content: bytes, capsys) -> str:
    """Write `content` as the newest state; return what `load_state` makes of it."""
    (work_dir.path / "training_state.pt").write_bytes(content)
    state = load_state(work_dir)
    said = capsys.readouterr().out
    if same(state, small_state(2)):
        return "whole"
    assert same(state, small_state(1)), state
    assert "Damaged training state: " in said and "Using the state before it: " in said
    assert said.count("\n") == 2
    return "damage told"


def test_every_byte_of_a_state_wrong(work_dir, capsys):
    content = (work_dir.path / "training_state.pt").read_bytes()
    outcomes = []
    for place in range(len(content)):
        flip = 0xFF if place % 2 else 0x01
        damaged = content[:place] + bytes([content[place] ^ flip]) + content[place + 1:]
        outcomes.append(outcome(work_dir, damaged, capsys))
    assert outcomes.count("damage told") > len(content) / 4  # the rest is padding and fields that readers skip


def test_a_state_cut_short_anywhere(work_dir, capsys):
    content = (work_dir.path / "training_state.pt").read_bytes()
    for length in range(0, len(content), 7):
        assert outcome(work_dir, content[:length], capsys) == "damage told"


def test_nonsense_in_place_of_a_state(work_dir, capsys):
    rng = random.Random(0)
    whole = io.BytesIO()
    torch.save({"a": 1}, whole)
    legacy = io.BytesIO()
    torch.save(small_state(3), legacy, _use_new_zipfile_serialization=False)
    for content in (b"", b"PK", b"\x80\x04.", whole.getvalue(), legacy.getvalue()[:-5],
                    *(rng.randbytes(rng.randrange(1, 400)) for _ in range(300))):
        assert outcome(work_dir, content, capsys) == "damage told"


def test_two_damaged_states_are_an_error(work_dir):
    for name in ("training_state.pt", "training_state.previous.pt"):
        (work_dir.path / name).write_bytes(b"nonsense")
    with pytest.raises(UserError, match="no earlier state is left"):
        load_state(work_dir)


def test_weights_whose_numbers_were_altered_are_refused(tmp_path):
    """Torch itself reads them without a word."""
    torch.save({"w": torch.full((100,), 1.0)}, tmp_path / "w.pt")
    content = bytearray((tmp_path / "w.pt").read_bytes())
    place = content.index(torch.full((100,), 1.0).numpy().tobytes())
    content[place + 6] ^= 1
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(UserError, match="does not match its checksums"):
        read_torch_file(tmp_path / "w.pt")
