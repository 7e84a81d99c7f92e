"""Every row of the benchmark names a model that is there and takes its options."""

from __future__ import annotations

import pytest

from skeleton_lab.bench.recipes import RECIPES
from tests.trees import ROOT, open_tree


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_the_model_can_be_built(recipe):
    with open_tree(recipe.tree) as tree:
        model = tree.load(recipe.model)(**recipe.arguments)
    assert sum(parameter.numel() for parameter in model.parameters()) > 1000
    assert recipe.batch_size % recipe.forward_batch_size == 0


def test_each_tree_has_a_row():
    trees = {path.parent.name for path in ROOT.glob("*/main.py")}
    assert trees <= {recipe.tree for recipe in RECIPES.values()}
