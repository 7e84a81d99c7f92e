"""`python3 -m skeleton_lab`: every command, a line each, at once."""

from __future__ import annotations

import subprocess
import sys

import skeleton_lab
from skeleton_lab.command.listing import ROOT, listing


def test_every_script_and_model_has_a_line_and_no_library_is_loaded():
    code = ("import runpy, sys; runpy.run_module('skeleton_lab', run_name='__main__'); "
            "print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))")
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    *lines, loaded = printed.splitlines()
    assert loaded == "[]" and lines[0] == f"Skeleton Action Lab {skeleton_lab.__version__}"
    named = {line.split()[0] for line in lines if line.startswith("  ")}
    there = {path.name for folder in (ROOT, ROOT / "dataset_tools") for path in folder.glob("*.py")}
    assert named == there | {path.parent.name for path in ROOT.glob("*/main.py")}
    assert all(line.endswith((".", "?")) for line in lines if line.startswith("  "))


def test_what_is_not_a_command_is_not_listed_and_the_engine_alone_says_so(tmp_path):
    assert "checkout or an image" in listing(tmp_path)
    (tmp_path / "helper.py").write_text('"""No script."""')
    (tmp_path / "silent.py").write_text('if __name__ == "__main__":\n    pass\n')
    (tmp_path / "verb.py").write_text('"""Do it,\nwell.\n\nMore.\n"""\nif __name__ == "__main__":\n    pass\n')
    assert [line.strip() for line in listing(tmp_path).splitlines()[1:]] == ["verb.py  Do it, well."]
