"""Processes that a script starts and that end with it, however it ends: done, failed, stopped or killed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from skeleton_lab.files import ended_by_signals

_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
_PATIENCE_S = 30  # for a training to finish its step and save

Child = subprocess.Popen[str]


@contextmanager
def child(command: Sequence[str | Path], **options: Any) -> Iterator[Child]:
    """Start a command whose output is text, for the block: what still runs at the block's end is asked to stop.

    SIGTERM and SIGHUP end the block, and this process, in order. Where this process is killed at once the kernel tells
    the command to stop, on Linux; on other systems it then runs on.

    Args:
        command: the words of the command; no shell reads them.
        options: those of `subprocess.Popen`.
    """
    with ended_by_signals():
        process = subprocess.Popen(command, text=True, preexec_fn=_leaving_with(os.getpid()), **options)
        try:
            yield process
        finally:
            _end(process)


def run_child(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a `child` to its end, as `subprocess.run` does."""
    with child(command, **options) as process:
        output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _end(process: Child) -> None:
    """Make sure that a process has ended, and wait for it."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
    process.wait()


def _leaving_with(parent: int) -> Callable[[], None] | None:
    """Return what a new process does first so that it gets SIGTERM when `parent` dies; None where there is no way."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def leave_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # dead already
            os._exit(128 + signal.SIGTERM)

    return leave_with_parent
