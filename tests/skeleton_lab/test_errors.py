"""The nearest known word, and the nearest path."""

from __future__ import annotations

import pytest

from skeleton_lab.errors import in_one_line, missing, nearest_path, suggest

KNOWN = ("--base-lr", "--lr-decay-rate", "--num-epoch", "--batch-size", "--work-dir", "--window-frames", "--overwrite")


@pytest.mark.parametrize(("unknown", "nearest"), [
    ("--base-lrr", "--base-lr"), ("--lr", "--base-lr"), ("--learning-rate", "--base-lr"), ("--epochs", "--num-epoch"),
    ("--work-dri", "--work-dir"), ("--batch_size", "--batch-size"), ("--batchsize", "--batch-size"),
    ("--window", "--window-frames"), ("--force", "--overwrite")])
def test_the_nearest_known_word(unknown, nearest):
    assert suggest(unknown, KNOWN) == f"; did you mean '{nearest}'?"


def test_nothing_is_near():
    assert suggest("--colour", KNOWN) == suggest("", KNOWN) == ""


def test_the_nearest_path(tmp_path, monkeypatch):
    (tmp_path / "config" / "demo").mkdir(parents=True)
    (tmp_path / "config" / "demo" / "default.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    for wrong in ("config/demo/defalt.yaml", "confg/demo/default.yaml", "config/dmo/deflt.yaml"):
        assert nearest_path(wrong) == "config/demo/default.yaml"
    assert nearest_path(tmp_path / "config" / "demos") == str(tmp_path / "config" / "demo")
    assert nearest_path("config/other/default.yaml") is None
    (tmp_path / "link").symlink_to("gone")
    assert "link: is a link to " in str(missing("link", FileNotFoundError(), "mend it"))
    assert str(missing("x", PermissionError(13, "Permission denied"), "see")) == \
        "x: cannot read it (Permission denied); see"


def test_one_line():
    assert in_one_line("a\nb\x1b\udcff") == r"a\nb\x1b\udcff"
