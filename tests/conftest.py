"""What every test may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.trees import ROOT

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")  # the same examples in every run


@pytest.fixture
def run_script():
    """Return a function that runs a script of the checkout and returns its CompletedProcess (text)."""

    def run(*arguments: str | Path, cwd: str | Path = ROOT, timeout_s: float = 300,
            env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
                              timeout=timeout_s, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)

    return run
