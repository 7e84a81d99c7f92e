"""The flag --observe: what it takes, where it stands in a saved config, and where it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.train.config import read_config, save_config
from skeleton_lab.train.spec import TreeSpec

SPEC = TreeSpec(root=Path("."))


@pytest.mark.parametrize(("word", "value"), [
    ("0.5", 0.5), ("1", 1.0), ("random", [0.1, 1.0]), ("0.2-0.6", [0.2, 0.6]), ("0.5-0.5", 0.5)])
def test_the_command_line_and_a_saved_config_agree(tmp_path, word, value):
    config = read_config(SPEC, ["--observe", word])
    assert config.observe == value
    save_config(config, SPEC, tmp_path / "config.yaml")
    assert read_config(SPEC, ["--config", str(tmp_path / "config.yaml")]).observe == value
    (tmp_path / "own.yaml").write_text(f"observe: {word}\n")
    assert read_config(SPEC, ["--config", str(tmp_path / "own.yaml")]).observe == value


def test_by_default_the_feeders_options_decide():
    assert read_config(SPEC, []).observe is None


@pytest.mark.parametrize("word", ["0", "1.1", "-0.5", "0.6-0.2", "0-1", "a", "nan", "true", "0.1-0.2-0.3", "[]",
                                  "{a: 1}"])
def test_what_is_no_share_is_refused(tmp_path, capsys, word):
    with pytest.raises(SystemExit):
        read_config(SPEC, [f"--observe={word}"])
    assert "expected a share in (0, 1], a range such as 0.1-1.0, or random" in capsys.readouterr().err
    (tmp_path / "own.yaml").write_text(f"observe: {word}\n")
    with pytest.raises(UserError, match=r"key 'observe': expected a share in \(0, 1\]"):
        read_config(SPEC, ["--config", str(tmp_path / "own.yaml")])


def test_a_feeder_without_the_option_is_named(toy, tmp_path):
    done = toy(tmp_path / "work", "--observe", "0.5")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "--observe: 'toy_feeder.Feeder' takes no option 'observe'; leave the flag out" in done.stderr


def test_descriptors_of_whole_clips_do_not_go_with_a_part(tmp_path):
    words = ["--descriptors", "a.h5", "--fusion", "late"]
    assert read_config(SPEC, [*words, "--observe", "1"]).observe == 1
    for share in ("0.5", "random"):
        with pytest.raises(UserError, match="--observe does not shorten what --descriptors tell"):
            read_config(SPEC, [*words, "--observe", share])
