"""Which skeletons are known, and finding one by what a file or a graph says of it: joints in their order, not a number.

A file names a skeleton by its dotted path (`skeleton_lab.own_skeletons.UTD_MHAD_20`), that path's last word, or the
skeleton's name. Only those that stand in `skeletons.py` and `own_skeletons.py` are found: no file chooses what is
imported.
"""

from __future__ import annotations

from collections.abc import Iterable

from skeleton_lab import own_skeletons, skeletons
from skeleton_lab.skeletons import Edge, Skeleton


def known_skeletons() -> dict[str, Skeleton]:
    """Return the known skeletons by dotted path."""
    found: dict[str, Skeleton] = {}
    for module in (skeletons, own_skeletons):
        for name, value in vars(module).items():
            if isinstance(value, Skeleton) and value not in found.values():
                found[f"{module.__name__}.{name}"] = value
    return found


def skeleton_path(skeleton: Skeleton) -> str:
    """Return how a file names a skeleton: its dotted path, or its name if it stands elsewhere."""
    return next((path for path, known in known_skeletons().items() if known == skeleton), skeleton.name)


def find_skeleton(text: str, *more: Skeleton | None) -> Skeleton | None:
    """Return the skeleton that a file means by `text`, or None; `more`: such as need not stand among the known ones."""
    for path, skeleton in known_skeletons().items():
        if text in (path, path.rpartition(".")[2], skeleton.name):
            return skeleton
    return next((skeleton for skeleton in more if skeleton is not None and skeleton.name == text), None)


def skeletons_with(num_joints: int) -> list[Skeleton]:
    """Return the known skeletons of so many joints."""
    return [skeleton for skeleton in known_skeletons().values() if skeleton.num_joints == num_joints]


def skeleton_of_edges(edges: Iterable[Edge], num_joints: int) -> Skeleton | None:
    """Return the known skeleton that has just these links, either way round; None if there is none, or several."""
    links = {frozenset(map(int, edge)) for edge in edges if edge[0] != edge[1]}
    fitting = [skeleton for skeleton in skeletons_with(num_joints)
               if {frozenset(edge) for edge in skeleton.edges} == links]
    return fitting[0] if len(fitting) == 1 else None


def same_joints(first: Skeleton, second: Skeleton) -> bool:
    """Whether two skeletons are the same joints in the same order, however they are linked."""
    return first.joint_names == second.joint_names
