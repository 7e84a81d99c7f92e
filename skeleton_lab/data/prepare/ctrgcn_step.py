"""One step of CTR-GCN's data preparation as a command: the options first, then what is slow to import."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.command.options import read_early
from skeleton_lab.data.prepare.options import read_step_options
from skeleton_lab.errors import run_command


def run_step(step: str, benchmark: str, script: str, description: str | None) -> None:
    """Run the command of a step, "collect", "denoise" or "archive", and exit.

    Args:
        step, benchmark: keys of `ctrgcn_commands.STEPS` and `BENCHMARKS`.
        script, description: the calling script's `__file__`, beside which results go, and `__doc__`.
    """
    here = Path(script).resolve().parent
    options = read_early(lambda: read_step_options(description, here, reads_recordings=step == "collect"))
    from skeleton_lab.data.prepare import ctrgcn_commands as commands

    run_command(commands.run, options, commands.BENCHMARKS[benchmark], here, (commands.STEPS[step],))
