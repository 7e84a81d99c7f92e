"""The first process of an image: says which mount is missing, runs the command, and hands `docker stop` on to it.

In a Dockerfile:
    ENTRYPOINT ["python3", "/workspace/skeleton_lab/container.py", "--data", "/data", "--results", "/work_dir", "--"]

Why it is needed: the signal of `docker stop` reaches a container's first process only. Were that the interactive shell
in which a training runs, the shell would ignore it, and the training be killed in the middle of a step.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ASK_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LOOK_AROUND_S = 0.1  # how often, while processes are stopping
FROM_THE_KERNEL = 0x80  # si_code of Ctrl-C: the terminal sends it to the command too

Processes = dict[int, "Process"]


# --- mounts -----------------------------------------------------------------------------------------------------------


def complaints(data: Iterable[Path], results: Iterable[Path], mounted: Iterable[Path]) -> list[str]:
    """Return a line for each folder that nothing is mounted on, or an empty one.

    Args:
        data: folders to read recordings from. results: folders that a training writes to.
        mounted: mount points.
    """
    points = set(mounted) - {Path("/")}
    remedy = "add --mount type=bind,source=<folder of the host>,target={} to docker run"
    lines = []
    for folder in data:
        if not points & {folder, *folder.parents}:
            lines.append(f"{folder}: not mounted, so there are no recordings; {remedy.format(folder)}")
        elif folder.is_dir() and os.access(folder, os.R_OK) and not any(folder.iterdir()):
            lines.append(f"{folder}: mounted, but empty; check the source of the mount")
    for folder in results:
        if not points & {folder, *folder.parents}:
            lines.append(f"{folder}: not mounted, so what is written there goes with the container; "
                         f"{remedy.format(folder)}")
    return lines


def mount_points() -> list[Path]:
    """Return the mount points that this process sees."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split()[4].replace("\\040", " ")) for line in lines]


# --- stopping ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """What decides whether and how to stop a process."""

    parent: int
    ignores_stop: bool  # as an interactive shell does


def look_around() -> Processes:
    """Return the running processes by their numbers."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        except OSError:  # ended meanwhile
            continue
        if not fields["State"].strip().startswith("Z"):
            ignored = int(fields["SigIgn"], 16) >> (signal.SIGTERM - 1) & 1
            found[int(folder.name)] = Process(int(fields["PPid"]), bool(ignored))
    return found


def to_stop(processes: Processes, first: int) -> set[int]:
    """Return the processes to hand the signal to: the topmost ones under `first` that heed it.

    What such a process started is its own to stop: a training's loader processes must live until its state is saved.
    What it leaves behind becomes the first process's child, and its turn comes then. Processes of `docker exec` have
    no parent that is seen in the container.
    """
    parents, chosen = [first, 0] if first == 1 else [first], set()
    while parents:
        parent = parents.pop()
        for number, process in processes.items():
            if process.parent == parent and number != first:
                if process.ignores_stop:
                    parents.append(number)
                else:
                    chosen.add(number)
    return chosen


def run(command: list[str]) -> int:
    """Run `command` to its end and return its exit status; asked to stop, stop all that runs here first.

    Shells that ignore the signal do not hold the stop up: the status is 143 then.
    """
    watched = {*ASK_TO_STOP, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        child = subprocess.Popen(command, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before))
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    status: int | None = None
    stopping = False
    asked: set[int] = set()
    while True:
        received = signal.sigtimedwait(watched, LOOK_AROUND_S if stopping else 3600)
        if received and received.si_signo in ASK_TO_STOP and received.si_code != FROM_THE_KERNEL:
            stopping = True
        status = reap(child.pid, status)
        if not stopping:
            if status is not None:
                return status
            continue
        left = to_stop(look_around(), os.getpid())
        if not left:
            return 128 + signal.SIGTERM if status is None else status
        for number in left - asked:
            with suppress(ProcessLookupError, PermissionError):  # ended meanwhile; another user's `docker exec`
                os.kill(number, signal.SIGTERM)
        asked |= left


def reap(child: int, status: int | None) -> int | None:
    """Reap ended processes; return the child's exit status as shells report it, or `status` if it did not end now."""
    while True:
        try:
            number, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if number == 0:
            return status
        if number == child:
            code = os.waitstatus_to_exitcode(code)
            status = 128 - code if code < 0 else code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    add = parser.add_argument
    add("--data", type=Path, action="append", default=[], metavar="DIR", help="recordings are to be mounted here")
    add("--results", type=Path, action="append", default=[], metavar="DIR", help="so is where results are written")
    add("command", nargs="+", help="what to run, after --")
    options = parser.parse_args()
    for line in complaints(options.data, options.results, mount_points()):
        print(f"note: {line}", file=sys.stderr)
    sys.stderr.flush()
    return run(options.command)


if __name__ == "__main__":
    sys.exit(main())
