"""The commands of the lab, each with the line that its script begins with."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FOLDERS = (("", "Anywhere"), ("dataset_tools/", "Data"))
ROOT = Path(__file__).absolute().parents[2]


def commands(folder: Path) -> Iterator[tuple[str, str]]:
    """Give name and first paragraph of each script in a folder; a script is what does something when it is run."""
    for path in sorted(folder.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        said = ast.get_docstring(ast.parse(source)) if "__main__" in source else None
        if said:
            yield path.name, " ".join(said.partition("\n\n")[0].split())


def listing(root: Path = ROOT) -> str:
    """Return all commands of a checkout or image, a line each; `root` is the folder that the engine stands in."""
    lines = []
    for prefix, title in FOLDERS:
        found = list(commands(root / prefix))
        if found:
            lines += [f"{title}: python3 {prefix}SCRIPT --help tells the rest", *_aligned(found), ""]
    trees = [(folder.name, said) for folder in sorted(path.parent for path in root.glob("*/main.py"))
             for name, said in commands(folder) if name == "main.py"]
    if trees:
        lines += ["Models: cd MODEL && python3 main.py --config config/...", *_aligned(trees), ""]
    return "\n".join(lines).rstrip() or ("The engine alone is here; the commands are the scripts beside it in a "
                                         "checkout or an image.")


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:{width}}  {said}" for name, said in rows]
