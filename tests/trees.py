"""The two trees in one test process.

`CTR-GCN/` and `MS-G3D/` both have modules named `model`, `graph` and `feeders`. A test opens one tree
at a time; leaving it forgets that tree's modules, so that the next tree gets its own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TREE_PACKAGES = ("model", "graph", "feeders", "data_gen")


class Tree:
    """One model tree, open for import."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, dotted: str) -> Any:
        """Return the object at a dotted path such as `model.ctrgcn.Model`."""
        module, _, name = dotted.rpartition(".")
        return getattr(importlib.import_module(module), name)


def _forget_tree_modules() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in TREE_PACKAGES]:
        del sys.modules[name]


@contextmanager
def open_tree(name: str) -> Iterator[Tree]:
    """Put the tree `name` ("CTR-GCN", "MS-G3D") first on the import path, for the block only."""
    tree = Tree(ROOT / name)
    _forget_tree_modules()
    sys.path.insert(0, str(tree.path))
    importlib.invalidate_caches()
    try:
        yield tree
    finally:
        sys.path.remove(str(tree.path))
        _forget_tree_modules()
