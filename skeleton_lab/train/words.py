"""What a run calls its joints and classes: told by its data set or its graph, kept in its `run.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_lab.class_names import NTU_60, NTU_120, usual_class_names
from skeleton_lab.errors import UserError
from skeleton_lab.imports import check_arguments, load_object
from skeleton_lab.skeleton_names import find_skeleton, skeleton_of_edges, skeleton_path
from skeleton_lab.skeletons import Skeleton
from skeleton_lab.train.config import Config

SKELETON, CLASS_NAMES = "skeleton", "class_names"


@dataclass(frozen=True)
class Words:
    """The skeleton, and the names of the classes in their order; None where nobody knows."""

    skeleton: Skeleton | None = None
    class_names: tuple[str, ...] | None = None

    def recorded(self) -> dict[str, Any]:
        """Return them as `run.json` keeps them: the skeleton's dotted path or name, and the list of names."""
        return {SKELETON: None if self.skeleton is None else skeleton_path(self.skeleton),
                CLASS_NAMES: None if self.class_names is None else list(self.class_names)}


def words_of_feeder(feeder: Any, config: Config) -> Words:
    """Return what a feeder and a config say.

    A feeder may have `skeleton` (a Skeleton) and `class_names` (strings, in class order), or None for them. Where it
    names no classes, but its clips are of all 60 or 120 classes of NTU RGB+D, whose published archives have no names,
    they are called as there.
    """
    skeleton = skeleton_of(config, feeder)
    named = getattr(feeder, CLASS_NAMES, None)
    if named is not None:
        return Words(skeleton, tuple(map(str, named)))
    labels = np.unique(np.asarray(getattr(feeder, "label", ())))
    all_there = len(labels) in (len(NTU_60), len(NTU_120)) and labels[0] == 0 and labels[-1] == len(labels) - 1
    return Words(skeleton, usual_class_names(len(labels), skeleton) if all_there else None)


def words_of_run(record: Mapping[str, Any], config: Config, num_classes: int) -> Words:
    """Return what the record of a run says; where there is none, as of published weights, what the config suggests."""
    skeleton = skeleton_of(config)
    if isinstance(record.get(SKELETON), str):
        skeleton = find_skeleton(record[SKELETON], skeleton) or skeleton
    if CLASS_NAMES in record:
        return Words(skeleton, names_in(record))
    return Words(skeleton, usual_class_names(num_classes, skeleton))


def names_in(record: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names that a record holds, None without any."""
    names = record.get(CLASS_NAMES)
    return tuple(map(str, names)) if isinstance(names, list) else None


def skeleton_of(config: Config, feeder: Any = None) -> Skeleton | None:
    """Return the skeleton of a run: the one that its feeder's options name, its graph's, or its feeder's own.

    A graph class tells by an attribute `skeleton`, or by its links (`inward` or `edges`).
    """
    named = config.test_feeder_args.get(SKELETON) or config.train_feeder_args.get(SKELETON)
    if isinstance(named, str):
        found = load_object(named)
        if isinstance(found, Skeleton):
            return found
    return _of_graph(config) or _own(feeder) or _of_feeder_class(config)


def _of_graph(config: Config) -> Skeleton | None:
    dotted, options = config.model_args.get("graph"), config.model_args.get("graph_args") or {}
    if not isinstance(dotted, str) or not isinstance(options, Mapping):
        return None
    try:
        target = load_object(dotted)
        if isinstance(getattr(target, SKELETON, None), Skeleton):
            return target.skeleton
        check_arguments(target, dotted, options, "graph_args")
        graph = target(**options)
    except (UserError, TypeError, ValueError):  # the model says what is wrong with it
        return None
    if _own(graph) is not None:
        return _own(graph)
    edges = getattr(graph, "inward", None) or getattr(graph, "edges", None) or ()
    count = getattr(graph, "num_node", None) or getattr(graph, "num_nodes", None)
    if not isinstance(count, int) or not isinstance(edges, Sequence):
        return None
    return skeleton_of_edges(edges, count)


def _own(thing: Any) -> Skeleton | None:
    skeleton = getattr(thing, SKELETON, None)
    return skeleton if isinstance(skeleton, Skeleton) else None


def _of_feeder_class(config: Config) -> Skeleton | None:
    try:
        return _own(load_object(config.feeder)) if config.feeder else None
    except UserError:
        return None
