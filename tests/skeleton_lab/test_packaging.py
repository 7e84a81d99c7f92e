"""What `pip install .` takes along."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch

from tests.trees import ROOT


def test_every_file_of_the_engine_is_packed():
    """Code is found by setuptools; all else has to be named."""
    section = (ROOT / "pyproject.toml").read_text().partition("[tool.setuptools.package-data]")[2].partition("\n[")[0]
    patterns = re.findall(r'"([^"]+)"', section.partition("=")[2])
    listed = subprocess.run(["git", "ls-files", "skeleton_lab"], cwd=ROOT, capture_output=True, text=True).stdout
    files = [ROOT / name for name in listed.split()] or list((ROOT / "skeleton_lab").rglob("*.*"))
    others = [path.name for path in files if path.suffix not in (".py", ".pyc")]
    assert patterns and others
    assert [name for name in others if not any(fnmatch(name, pattern) for pattern in patterns)] == []
    folders = {path.parent for path in files if path.suffix == ".py"}
    assert all((folder / "__init__.py").exists() for folder in folders)  # without one a folder is no package
