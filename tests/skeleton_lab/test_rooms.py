"""The engine's rooms: which may use which, as CONTRIBUTING.md draws it."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.trees import ROOT

# A room may use the ground, itself, and these; "data" stands for all rooms in it.
MAY_USE = {
    "command": set(),
    "nn": set(),
    "data.formats": set(),
    "data.prepare": {"data.formats"},
    "data.feeders": {"data.formats"},
    "data.generate": {"data.formats"},
    "streams": {"data"},
    "train": {"nn"},
    "pictures": set(),
    "capture": {"data.formats", "data.prepare"},
    "predict": {"train", "nn", "data", "pictures", "capture"},
    "report": {"train", "streams", "pictures"},
    "bench": {"train", "nn"},
    "export": {"train", "nn"},
    "foreign": {"train", "streams", "nn", "data"},
    "toys": {"train", "nn", "data"},
    "entry": {"train", "report", "streams", "export", "foreign", "data"},
}
MOST_ON_THE_GROUND = 16
FOR_ALL = {"", "command"}  # the ground, and how commands speak, which the ground itself uses


def modules() -> dict[str, Path]:
    """Dotted name -> file, of all modules of the engine."""
    found = {}
    for path in (ROOT / "skeleton_lab").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """"" is the ground: modules that stand in no room."""
    inner = module.removeprefix("skeleton_lab").removeprefix(".")
    return next((room for room in MAY_USE if f"{inner}.".startswith(f"{room}.")), "")


def imports_of(tree: ast.AST, known: dict[str, Path]) -> set[str]:
    """The engine's modules that a syntax tree imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, "imports are absolute"
            found |= {path if (path := f"{node.module}.{name.name}") in known else node.module for name in node.names}
    return {name for name in found if name.split(".")[0] == "skeleton_lab"}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports_of(ast.parse(path.read_text("utf-8")), known) - {name} for name, path in known.items()}


def test_every_module_is_in_a_room_or_one_of_the_few_on_the_ground(graph):
    folders = {path.relative_to(ROOT / "skeleton_lab").parent for path in modules().values()} - {Path(), Path("data")}
    assert {".".join(folder.parts) for folder in folders} == set(MAY_USE)
    assert len(list((ROOT / "skeleton_lab").glob("*.py"))) <= MOST_ON_THE_GROUND


def test_no_import_goes_to_a_room_that_the_drawing_forbids(graph):
    forbidden = []
    for module, used in graph.items():
        room = room_of(module)
        allowed = MAY_USE.get(room, set()) | FOR_ALL | {room}
        forbidden += [f"{module} -> {other}" for other in used
                      if room_of(other) not in allowed and room_of(other).split(".")[0] not in allowed]
    assert not forbidden


def test_no_module_needs_itself(graph):
    """No circle of imports, those inside functions included."""
    users = defaultdict(set)
    for module, used in graph.items():
        for other in used:
            users[other].add(module)
    left = {module: {other for other in used if other in graph} for module, used in graph.items()}
    ready = [module for module, used in left.items() if not used]
    while ready:
        done = ready.pop()
        del left[done]
        for user in users[done] & left.keys():
            left[user].discard(done)
            if not left[user]:
                ready.append(user)
    assert not left, f"in or behind a circle: {sorted(left)}"


def test_no_string_names_a_module_that_may_not_be_imported():
    """A dotted path in quotes is an import too, except where old paths are kept for users' configs."""
    for module, path in modules().items():
        if room_of(module) in ("train", "nn"):
            strings = [node.value for node in ast.walk(ast.parse(path.read_text("utf-8")))
                       if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            assert not [text for text in strings if text.startswith(("skeleton_lab.data.", "skeleton_lab.report."))
                        and " " not in text], module
