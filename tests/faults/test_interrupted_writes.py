"""Writers that are interrupted or killed: no half-written file stays, and what there was before is as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from skeleton_lab import files
from skeleton_lab.files import replacing, write_text
from tests.archives import write_sparse_npz
from tests.trees import ROOT

DEAD = 99999999  # no process has this number


@pytest.fixture
def converter(tmp_path):
    """A converter amid its work: (process, target, which existed before)."""
    source, target = tmp_path / "in.npz", tmp_path / "out" / "ntu.npz"
    write_sparse_npz(source, {"x_train": ((4000, 300, 150), "<f4"), "y_train": np.eye(60)[np.arange(4000) % 60],
                              "x_test": ((2, 300, 150), "<f4"), "y_test": np.eye(60)[:2]})
    write_text(target, "before")
    # A suite in the background of a shell ignores SIGINT, and what it starts would too.
    process = subprocess.Popen([sys.executable, "convert_ntu60_kaggle_to_ctrgcn.py", "--input", source, "--output",
                                target, "--overwrite"], cwd=ROOT, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while process.poll() is None and not any(path.stat().st_size > 1 << 20 for path in target.parent.glob(".*.part")):
        time.sleep(0.01)
    yield process, target
    process.kill()
    process.wait()


@pytest.mark.parametrize(("number", "status", "said"), [(signal.SIGTERM, 143, ""),
                                                        (signal.SIGINT, 130, "interrupted")])
def test_an_interrupted_converter_leaves_nothing(converter, number, status, said):
    process, target = converter
    process.send_signal(number)
    err = process.communicate()[1]
    assert process.returncode == status and "Traceback" not in err and err.strip().endswith(said)
    assert [path.name for path in target.parent.iterdir()] == [target.name] and target.read_text() == "before"


def test_what_a_killed_converter_leaves_is_swept_by_the_next(converter, monkeypatch):
    process, target = converter
    process.kill()
    process.communicate()
    [part] = target.parent.glob(".*.part")
    assert target.read_text() == "before"
    os.utime(part, (0, 0))
    monkeypatch.setattr(files, "_swept", set())
    write_text(target.parent / "else.txt", "")
    assert not part.exists()


def test_only_old_parts_of_dead_processes_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_swept", set())
    names = (f".old.{DEAD}.part", f".fresh.{DEAD}.part", f".alive.{os.getppid()}.part", "mine.part")
    for name in names:
        (tmp_path / name).write_text("")
        if "fresh" not in name:
            os.utime(tmp_path / name, (0, 0))
    write_text(tmp_path / "a.txt", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[1:], "a.txt"])


def test_handlers_of_others_stay(tmp_path):
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with replacing(tmp_path / "a.txt") as temporary:
            os.kill(os.getpid(), signal.SIGTERM)
            temporary.write_text("whole")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM] and (tmp_path / "a.txt").read_text() == "whole"
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_signals_default_comes_back(tmp_path):
    with replacing(tmp_path / "a.txt") as outer:
        outer.write_text("")
        with replacing(tmp_path / "b.txt") as inner:
            inner.write_text("")
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
