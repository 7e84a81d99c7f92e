"""Where modules went that documents or users' own models and configs name: their old dotted paths keep working."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec  # not importlib.abc, which takes a third of a script's start
from types import ModuleType

MOVED = {
    **{f"skeleton_lab.{name}": f"skeleton_lab.nn.{name}" for name in
       ("blocks", "layers", "norm", "pointwise", "recompute", "temporal")},
    **{f"skeleton_lab.data.{name}": f"skeleton_lab.data.formats.{name}" for name in
       ("archive", "descriptors", "labels", "layouts")},
    **{f"skeleton_lab.data.{name}": f"skeleton_lab.data.feeders.{name}" for name in
       ("feeding", "feeder_ntu", "feeder_ucla", "observation", "samples")},
    "skeleton_lab.data.bones": "skeleton_lab.data.prepare.bones",
    "skeleton_lab.data.clips": "skeleton_lab.data.feeders.transforms",
    "skeleton_lab.train.imports": "skeleton_lab.imports",
    "skeleton_lab.train.run": "skeleton_lab.entry.tree",
    "skeleton_lab.trained": "skeleton_lab.train.trained",
}


class _Moved:
    """Finds and loads the module at its new place; it is one module, whatever path it was imported by."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(MOVED[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing, since it has run at its own place; but the import system has put the old path's spec on it."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def keep_old_paths() -> None:
    """Let the old dotted paths be imported in this process."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.append(_Moved())
