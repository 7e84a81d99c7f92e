"""Configs of PYSKL and MMAction2, read as literals."""

from __future__ import annotations

import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.foreign.config_file import parse_config, read_config

MULTIPLYING = "x = dict(a=1, b=2)\n" + "x = dict(a=x, b=x)\n" * 40


def test_literals_names_parts_and_text():
    content = parse_config('"""A docstring."""\ng = "coco"\nx = [1, -2.5, (None,), {"a": True}]\n'
                           "data = dict(val=dict(split='te'))\ndata['test'] = data['val']\n"
                           "work_dir = f'./{g}/{1}'\ncustom_imports = dict(imports='m')\n", "c.py")
    assert content == {"g": "coco", "x": [1, -2.5, (None,), {"a": True}], "work_dir": "./coco/1",
                       "data": {"val": {"split": "te"}, "test": {"split": "te"}}}


@pytest.mark.parametrize(("text", "told"), [
    ("import os", "line 1"), ("\na = b", "line 2"), ("a = __import__('os')", "a call of __import__"),
    ("a = 1 + 1", "BinOp"), ("a = f'{1!r}'", "line 1"), ("a = dict(**{})", "a call of dict"), ("a.b = 1", "Assign"),
    ("d = {}\nd['x'] = d", "contains itself"), (MULTIPLYING, "more than a config"), ("a = (", "line 1"),
    ("a = " + "[" * 3000, "no Python config"), ("a = 0", None)])
def test_anything_else_is_refused_with_its_line(text, told):
    if told is None:
        assert parse_config(text, "c.py") == {"a": 0}
        return
    with pytest.raises(UserError, match=told) as refused:
        parse_config(text, "c.py")
    assert str(refused.value).startswith("c.py: ") and "\n" not in str(refused.value)


def test_bases_merge(tmp_path):
    (tmp_path / "base.py").write_text("a = dict(x=1, y=dict(z=2, w=3))\nb = [1, 2]\n")
    (tmp_path / "more.py").write_text("_base_ = ['base.py', 'mmaction::_base_/default_runtime.py']\n"
                                      "a = dict(y=dict(w=4), v=dict(_delete_=True, u=5))\nb = [3]\n")
    assert read_config(tmp_path / "more.py") == {"a": {"x": 1, "y": {"z": 2, "w": 4}, "v": {"u": 5}}, "b": [3]}
    (tmp_path / "loop.py").write_text("_base_ = 'loop.py'\n")
    for name, told in (("loop.py", "on top of each other"), ("absent.py", "No such file")):
        with pytest.raises(UserError, match=told):
            read_config(tmp_path / name)
