"""What every test may use."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

from skeleton_lab import errors
from tests.forked import run_forked, run_fresh
from tests.scripts.small_archive import write_pair
from tests.trees import ROOT

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")  # the same examples in every run


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch):
    """What is said once a process is said once a test, whichever came before."""
    monkeypatch.setattr(errors, "_noted", set())


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory) -> Path:
    """Return an archive of 8 training and 6 test clips of 4 classes, one class after the other."""
    return write_pair(tmp_path_factory.mktemp("archive"), num_train=8, num_test=6, num_classes=4)[0]


@pytest.fixture(scope="session")
def run_script():
    """Return a function that runs a script of the checkout and returns its CompletedProcess (text).

    `fresh`: from the very start, it and what it starts, not forked from a process that has imported PyTorch.
    """

    def run(*arguments: str | Path, cwd: str | Path = ROOT, timeout_s: float = 300, env: dict[str, str] | None = None,
            fresh: bool = False) -> subprocess.CompletedProcess[str]:
        function = run_fresh if fresh or str(arguments[0]).startswith("-") else run_forked
        return function([str(word) for word in arguments], Path(cwd), {**os.environ, **(env or {})}, timeout_s)

    return run
