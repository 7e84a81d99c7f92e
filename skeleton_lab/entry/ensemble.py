"""A tree's `ensemble.py` in one call: read the command line, then fuse the streams' test scores."""

from __future__ import annotations

from skeleton_lab.command.options import read_early
from skeleton_lab.errors import run_command
from skeleton_lab.streams.options import read_options


def run_ensemble() -> None:
    """Fuse the streams that the command line names, print their accuracies, and exit."""
    options = read_early(read_options)
    from skeleton_lab.streams.command import main  # after the command line: NumPy takes its time to load

    run_command(main, options)
