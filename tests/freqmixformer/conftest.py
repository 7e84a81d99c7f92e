"""The FreqMixFormer tree, open while the tests of this folder run."""

from __future__ import annotations

import pytest

from tests.trees import open_tree


@pytest.fixture(scope="package")
def tree():
    """The tree; `tree.load("model.x.Model")` imports from it."""
    with open_tree("FreqMixFormer") as opened:
        yield opened
