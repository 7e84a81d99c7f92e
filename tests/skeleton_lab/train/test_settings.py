"""The declaration of the settings: one line each, from which parser, types, resumption and reports follow."""

import dataclasses
import subprocess
import sys
import typing

import pytest

from skeleton_lab.nn.descriptor_fusion import KINDS
from skeleton_lab.train.config import default_settings, read_config
from skeleton_lab.train.flags import Flag
from skeleton_lab.train.settings import COMMON_FLAGS, FLAG_GROUPS, NOT_COMPARED, Config
from skeleton_lab.train.spec import TreeSpec
from tests.trees import ROOT

BY_KEY = {flag.key: flag for flag in COMMON_FLAGS}
HINTS = typing.get_type_hints(Config)


def test_every_field_is_a_flag_of_one_group():
    assert [field.name for field in dataclasses.fields(Config)] == list(BY_KEY)
    assert sorted(flag.key for group in FLAG_GROUPS.values() for flag in group) == sorted(BY_KEY)


@pytest.mark.parametrize("flag", COMMON_FLAGS, ids=lambda flag: flag.key)
def test_the_declared_type_is_that_of_the_default(flag):
    resolved = getattr(read_config(TreeSpec(root=ROOT), []), flag.key)  # num_worker has its default by now
    hint = HINTS[flag.key]
    allowed = tuple(typing.get_origin(kind) or kind for kind in typing.get_args(hint)) or (hint,)
    if typing.get_origin(hint) in (list, dict):
        allowed = (typing.get_origin(hint),)
    assert isinstance(resolved, allowed), (resolved, hint)


def test_a_tree_adds_its_own_and_shares_no_default():
    spec = TreeSpec(root=ROOT, flags=(Flag("words", str, [], "words", many=True),))
    first = read_config(spec, [])
    assert isinstance(first, Config) and vars(first).keys() == default_settings(spec).keys()
    first.words.append("x")  # type: ignore[attr-defined]
    assert read_config(spec, []).words == []  # type: ignore[attr-defined]


def test_what_may_change_and_what_reports_compare():
    assert BY_KEY["num_epoch"].free and not BY_KEY["batch_size"].free
    assert "work_dir" in NOT_COMPARED and "base_lr" not in NOT_COMPARED


def test_the_kinds_of_fusion_are_those_there_are():
    assert BY_KEY["fusion"].choices == tuple(KINDS)


def test_a_command_line_is_read_without_pytorch():
    code = "import sys, skeleton_lab.train.config, skeleton_lab.train.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
