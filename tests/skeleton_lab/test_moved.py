"""Dotted paths of before the rooms: the same modules, by either path, whichever comes first."""

import importlib
import subprocess
import sys

import pytest

from skeleton_lab.moved import MOVED
from tests.trees import ROOT


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_is_the_same_module(old):
    new = importlib.import_module(MOVED[old])
    spec = new.__spec__
    assert importlib.import_module(old) is new
    assert new.__name__ == MOVED[old] and new.__spec__ is spec


def test_an_old_path_alone():
    code = ("from skeleton_lab.data.archive import NpzWriter; from skeleton_lab.data.feeder_ntu import Feeder; "
            "import skeleton_lab.data.formats.archive as new; assert new.NpzWriter is NpzWriter; "
            "print(Feeder.__module__)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "skeleton_lab.data.feeders.feeder_ntu\n"
