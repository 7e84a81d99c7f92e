"""What a command reads may be given by place or by name, and must be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from skeleton_lab.command.options import Parser
from skeleton_lab.errors import UserError


def read(words: list[str], many: bool = False, required: bool = True) -> Path | list[Path] | None:
    parser = Parser()
    parser.add_input("path", "a file", "--npz-path", many=many, required=required)
    parser.add_argument("--top", type=int)
    return parser.parse_args(words).path


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.npz"
    path.touch()
    return path


@pytest.mark.parametrize("words", [["{}"], ["--input", "{}"], ["--npz-path={}"], ["--top", "3", "{}"],
                                   ["{}", "--top", "3"], ["--top=3", "--input", "{}"]])
def test_by_place_and_by_name_are_alike(file, words):
    assert read([word.format(file) for word in words]) == file
    assert read([word.format(file) for word in words], many=True) == [file]


def test_none_is_none_where_it_need_not_be(file):
    assert read([], required=False) is None
    assert read([], many=True, required=False) == []


@pytest.mark.parametrize(("words", "complaint"), [(["{}", "--input", "{}"], "FILE is given twice"),
                                                  ([], "no FILE is given"), (["--top", "3"], "no FILE is given")])
def test_twice_or_not_at_all_is_one_line(file, capsys, words, complaint):
    for many in (False, True):
        with pytest.raises(SystemExit) as ended:
            read([word.format(file) for word in words], many)
        said = capsys.readouterr().err
        assert ended.value.code == 2 and complaint in said and said.count("\n") == 1


@pytest.mark.parametrize("flags", [[], ["--input"]])
def test_what_is_not_there_is_told_with_its_neighbour(file, flags):
    with pytest.raises(UserError, match=r"b\.npz: no such file or folder; did you mean '.*a\.npz'"):
        read([*flags, str(file.with_name("b.npz"))])
