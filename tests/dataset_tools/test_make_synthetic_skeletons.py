"""Synthetic recordings: the same options give the same files, and they read as what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.skeleton_file import read_recording
from skeleton_lab.data.prepare.actors import choose_actors, collect_bodies
from tests.trees import ROOT

SCRIPT = ROOT / "dataset_tools" / "make_synthetic_skeletons.py"


def test_recordings_are_reproducible_and_readable(tmp_path: Path, run_script) -> None:
    for folder, jobs in (("one", 1), ("two", 2)):
        result = run_script(SCRIPT, "--output", tmp_path / folder, "--count", 12, "--trouble", 1, "--jobs", jobs)
        assert result.returncode == 0, result.stderr
    paths = sorted((tmp_path / "one").iterdir())
    assert [path.name for path in paths[:2]] == ["S001C001P001R001A001.skeleton", "S001C001P001R001A002.skeleton"]
    assert len(paths) == 12
    actors = []
    for path in paths:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        recording = read_recording(path)
        rows = choose_actors(collect_bodies(recording))
        assert np.isfinite(rows).all() and len(rows) <= recording.num_frames
        actors.append(rows.shape[1] // 75)
    assert set(actors) == {1, 2}


def test_bad_options_are_one_line(tmp_path: Path, run_script) -> None:
    result = run_script(SCRIPT, "--output", tmp_path, "--classes", 61)
    assert result.returncode == 2 and result.stderr == "error: --classes 61: must be between 1 and 60\n"
