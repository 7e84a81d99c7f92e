"""Fusing a model's streams on NTU RGB+D or NW-UCLA: what the trees that train from archives do.

Paths are relative to the tree's folder. Choosing weights on the test set is not what it is for: the default weights are
CTR-GCN's published ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from skeleton_lab.data.feeders.truth import ucla_labels
from skeleton_lab.data.feeders.ucla_split import recordings
from skeleton_lab.data.formats.layouts import read_header, read_labels
from skeleton_lab.errors import UserError
from skeleton_lab.pickles import load_plain_pickle
from skeleton_lab.streams.fuse import Stream, print_accuracies
from skeleton_lab.streams.options import NTU_ARCHIVES, STREAMS, UCLA, UCLA_LABELS

# The published weights where a motion stream takes part; joint and bone alone: 1 and alpha.
PUBLISHED_WEIGHTS = {"joint": 0.6, "bone": 0.6, "joint-motion": 0.4, "bone-motion": 0.4}
Reader = Callable[[Sequence[str], Sequence[str], str | None], tuple[list[Stream], dict | None]]


def main(args: argparse.Namespace, read_streams: Reader) -> int:
    """Fuse the streams that the options name and print the accuracies.

    Args:
        read_streams: of names, paths and the option --labels makes the streams and, if these tell it, the class of
            each sample.

    Raises:
        UserError: a score file or the labels are missing or do not fit, or an option does not apply.
    """
    folders = {name: getattr(args, f"{name.replace('-', '_')}_dir") for name in args.streams}
    names = [name for name, folder in folders.items() if folder]
    weights = choose_weights(args, names)
    streams, truth = read_streams(names, [folders[name] for name in names], args.labels)
    print_accuracies(streams, weights, read_truth(args, streams[0]) if truth is None else truth)
    return 0


def choose_weights(args: argparse.Namespace, names: list[str]) -> list[float]:
    """Return one weight for each stream; refuse an alpha or a list that does not apply.

    `args.all_streams` has the weights of all of a tree's `args.streams` by data set, where it has its own.
    """
    if args.weights is not None:
        if len(args.weights) != len(names):
            raise UserError(f"--weights: {len(args.weights)} weights for {len(names)} streams; give one for each")
        return args.weights
    if set(names) <= {"joint", "bone"}:
        return [1.0 if name == "joint" or args.alpha is None else args.alpha for name in names]
    if args.alpha is not None:
        raise UserError("--alpha weighs bone beside joint only; with a motion stream use --weights")
    if args.dataset in args.all_streams and (len(names) >= len(STREAMS) or not set(names) <= set(STREAMS)):
        own = dict(zip(args.streams, args.all_streams[args.dataset], strict=True))
        return [own[name] for name in names]
    return [PUBLISHED_WEIGHTS[name] for name in names]


def read_truth(args: argparse.Namespace, stream: Stream) -> dict:
    """Return the class of each sample name."""
    if args.dataset != UCLA:
        labels = read_labels(read_header(args.labels or NTU_ARCHIVES[args.dataset], "test"))
        return {f"test_{row}": int(label) for row, label in enumerate(labels)}
    if isinstance(stream.names[0], str) and not args.labels:
        return {recording.name: recording.label for recording in recordings("val")}
    # Numbered samples, as upstream's scores have them: only the data set's own list tells their order.
    path = args.labels or UCLA_LABELS
    return ucla_labels(path, load_plain_pickle(path))
