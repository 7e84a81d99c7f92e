"""Training runs of the toy tree that are killed: after some time, or at a certain write to the disk."""

from __future__ import annotations

import csv
import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from tests.forked import CONTEXT
from tests.skeleton_lab.train.conftest import run_here

SLOW_S = 0.004  # a clip: 24 of them and a test make an epoch of about 0.2 s
LONGEST_S = 1.2  # of a process before it is killed
MOST_WRITES = 30  # of a process before it is killed; an epoch has about a dozen


def flags_for(epochs: int) -> tuple[str, ...]:
    """Return the flags of a training of so many epochs."""
    return "--num-epoch", str(epochs), "--save-interval", "2"


def train(work_dir: Path, epochs: int, kill_at: tuple[int, float] | None = None) -> None:
    """What the killed process does: train, or go on; exit with the command's status.

    Args:
        kill_at: k and a share: kill this process as it is about to make its k-th file durable or move it into place,
            with so much of the file on the disk.
    """
    torch.set_num_threads(1)
    os.setpgrp()
    tqdm.set_lock(threading.RLock())  # its own would outlive the process
    if kill_at is not None:
        _count_writes(*kill_at)
    done = run_here(work_dir, *flags_for(epochs), "--resume", "--train-feeder-args", f"delay_s={SLOW_S}")
    print(done.stderr, end="", flush=True)
    os._exit(done.returncode)


def _count_writes(kill_at: int, share: float) -> None:
    """Make `os.fsync` and `os.replace` kill this process at the k-th call of either, before it has an effect.

    A file that was about to be made durable keeps a share of its bytes, as if the kill had come while it was written.
    """
    calls = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == kill_at:
                with suppress(OSError, TypeError):  # a folder, or two paths
                    os.ftruncate(args[0], int(share * os.fstat(args[0]).st_size))
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return call

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)


def run_and_kill(work_dir: Path, epochs: int, rng: random.Random) -> str:
    """Start (or go on with) the training and kill it somewhere; return what happened, or "finished"."""
    at_write = (rng.randrange(1, MOST_WRITES), rng.random()) if rng.random() < 0.5 else None
    after_s = rng.uniform(0.05, LONGEST_S)
    process = CONTEXT.Process(target=train, args=(work_dir, epochs, at_write))
    process.start()
    process.join(None if at_write else after_s)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL) if os.getpgid(process.pid) == process.pid else process.kill()
    process.join()
    if process.exitcode == 0:
        return "finished"
    assert process.exitcode == -signal.SIGKILL, f"ended with {process.exitcode}"
    return f"killed at write {at_write[0]}" if at_write else f"killed after {after_s:.2f} s"


def finish(work_dir: Path, epochs: int) -> None:
    """Go on with the training to its end."""
    process = CONTEXT.Process(target=train, args=(work_dir, epochs))
    process.start()
    process.join()
    assert process.exitcode == 0


def differences(first: Path, second: Path) -> list[str]:
    """Return which of the results of two finished runs are not the same, to the bit."""
    names = sorted({path.name for folder in (first, second) for path in folder.glob("*.pt")})
    found = [name for name in names if "previous" not in name and not _same_tensors(first / name, second / name)]
    if _history(first) != _history(second):
        found.append("history.csv")
    scores = [{path.name: path.read_bytes() for path in folder.glob("*_score.pkl")} for folder in (first, second)]
    return found + ([] if scores[0] == scores[1] and scores[0] else ["scores"])


def leftovers(work_dir: Path) -> list[str]:
    """Return what lies in a work directory half-written."""
    return [path.name for path in work_dir.rglob("*.part")]


def _same_tensors(first: Path, second: Path) -> bool:
    """Whether two weight files, or training states, hold the same."""
    if not (first.exists() and second.exists()):
        return False
    a, b = (torch.load(path, weights_only=True) for path in (first, second))
    if "progress" in a:
        if a["best"] != b["best"] or a["progress"] != b["progress"]:
            return False
        a, b = ({**state["model"], **_momenta(state)} for state in (a, b))
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def _momenta(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {f"momentum {key}": value["momentum_buffer"] for key, value in state["optimizer"]["state"].items()}


def _history(work_dir: Path) -> list[dict[str, str]]:
    with open(work_dir / "history.csv") as file:
        return [{key: value for key, value in row.items() if key != "clips_per_s"} for row in csv.DictReader(file)]
