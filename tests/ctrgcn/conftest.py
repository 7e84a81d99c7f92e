"""The CTR-GCN tree, open while the tests of this folder run."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trees import ROOT, open_tree


@pytest.fixture(scope="package")
def golden() -> dict[str, np.ndarray]:
    """Figures of the published feeders."""
    with np.load(ROOT / "tests" / "golden" / "feeders.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="package")
def tree():
    """The tree; `tree.load("model.x.Model")` imports from it."""
    with open_tree("CTR-GCN") as opened:
        yield opened
