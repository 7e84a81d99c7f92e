"""Every row of the benchmark names a model that is there, takes its options, and can be set up and counted."""

from __future__ import annotations

import pytest

from skeleton_lab.bench.job import MEASURE, Job, set_up
from skeleton_lab.bench.measure import gflops_per_clip
from skeleton_lab.bench.recipes import RECIPES
from tests.trees import ROOT, open_tree


@pytest.mark.parametrize("name", RECIPES)
def test_the_model_can_be_set_up(name):
    recipe = RECIPES[name]
    with open_tree(recipe.tree):
        frames = min(recipe.num_frames, 64)  # some models take no other number than their own
        subject = set_up(Job(MEASURE, name, "cpu", num_frames=frames, batch_size=1, forward_batch_size=1))
        assert gflops_per_clip(subject) > 0
    assert recipe.batch_size % recipe.forward_batch_size == 0


def test_each_tree_has_a_row():
    trees = {path.parent.name for path in ROOT.glob("*/main.py")}
    assert trees <= {recipe.tree for recipe in RECIPES.values()}
