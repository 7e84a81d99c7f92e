"""The Dockerfiles as they are written; no Docker engine is needed."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.docker.test_images import TREES
from tests.trees import ROOT

SHARED_UNTIL = "LABEL "


@pytest.mark.parametrize("model", TREES)
def test_all_share_the_layers_above_their_label(model):
    shared = {name: (ROOT / f"{name}.docker").read_text().partition(f"\n{SHARED_UNTIL}")[0].split("\n\n", 1)[1]
              for name in (model, "ctrgcn")}
    assert shared[model] == shared["ctrgcn"]


@pytest.mark.parametrize(("model", "tree"), TREES.items())
def test_the_own_tree_is_let_in_and_copied(model, tree):
    lines = (ROOT / f"{model}.docker").read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ")}
    assert {other for other in TREES.values() if other in copied} == {tree}
    assert f"!{tree}" in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_images_builds_each():
    shown = subprocess.run(["make", "-n", "images"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # Started by make, make also says where it is.
    built = {line.rpartition("-f ")[2].split()[0] for line in shown.splitlines() if line.startswith("docker build")}
    assert built == {f"{model}.docker" for model in TREES} == {path.name for path in ROOT.glob("*.docker")}
