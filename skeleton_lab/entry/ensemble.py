"""A tree's `ensemble.py` in one call: read the command line, then fuse the streams' test scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skeleton_lab.command.options import read_early
from skeleton_lab.errors import run_command
from skeleton_lab.streams.options import read_options


def run_ensemble(weights: Mapping[str, Mapping[str, Sequence[float]]] | None = None, more: Sequence[str] = ()) -> None:
    """Fuse the streams that the command line names, print their accuracies, and exit.

    Args:
        weights: the published ones of all streams, by the model's size and data set, where a tree has its own; the
            command line then has a `--size`, if there are several.
        more: streams that the tree has besides the usual four; they need such weights.
    """
    options = read_early(lambda: read_options(tuple(weights or ()), more))
    from skeleton_lab.foreign.score_file import read_streams  # after the command line: NumPy takes its time to load
    from skeleton_lab.streams.command import main

    options.all_streams = weights[getattr(options, "size", next(iter(weights)))] if weights else {}
    run_command(main, options, read_streams)
