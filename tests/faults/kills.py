"""Training runs of the toy tree that are killed: after some time, or at a certain write to the disk."""

from __future__ import annotations

import csv
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from tests.ranks import CONTEXT
from tests.skeleton_lab.train.conftest import run_here

FLAGS = ("--num-epoch", "4", "--save-interval", "2")
SLOW_S = 0.004  # a clip: 24 of them and a test make an epoch of about 0.4 s


def train(work_dir: Path, kill_at_write: int | None = None) -> None:
    """What the killed process does: train, or go on; exit with the command's status.

    Args:
        kill_at_write: kill this process as it is about to make its k-th file durable or move it into place.
    """
    torch.set_num_threads(1)
    os.setpgrp()
    tqdm.set_lock(threading.RLock())  # its own would outlive the process
    if kill_at_write is not None:
        _count_writes(kill_at_write)
    done = run_here(work_dir, *FLAGS, "--resume", "--train-feeder-args", f"delay_s={SLOW_S}")
    print(done.stderr, end="", flush=True)
    os._exit(done.returncode)


def _count_writes(kill_at: int) -> None:
    """Make `os.fsync` and `os.replace` kill this process at the k-th call of either, before it has an effect."""
    calls = 0

    def counted(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return call

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)


def run_and_kill(work_dir: Path, rng: random.Random) -> str:
    """Start (or go on with) the training and kill it somewhere; return what happened, or "finished"."""
    at_write = rng.randrange(1, 40) if rng.random() < 0.5 else None
    process = CONTEXT.Process(target=train, args=(work_dir, at_write))
    process.start()
    after_s = rng.uniform(0.1, 3.0)
    process.join(None if at_write else after_s)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL) if os.getpgid(process.pid) == process.pid else process.kill()
    process.join()
    if process.exitcode == 0:
        return "finished"
    assert process.exitcode == -signal.SIGKILL, f"ended with {process.exitcode}"
    return f"killed at write {at_write}" if at_write else f"killed after {after_s:.2f} s"


def finish(work_dir: Path) -> None:
    """Go on with the training to its end."""
    process = CONTEXT.Process(target=train, args=(work_dir,))
    process.start()
    process.join()
    assert process.exitcode == 0


def differences(first: Path, second: Path) -> list[str]:
    """Return which of the results of two finished runs are not the same, to the bit."""
    found = []
    for name in ("training_state.pt", "best.pt", "runs-2-8.pt", "runs-4-16.pt"):
        a, b = (torch.load(folder / name, weights_only=True) for folder in (first, second))
        if name == "training_state.pt":
            found += [] if a["best"] == b["best"] and a["progress"] == b["progress"] else ["progress"]
            a, b = ({**state["model"], **_momenta(state)} for state in (a, b))
        if list(a) != list(b) or not all(torch.equal(a[key], b[key]) for key in a):
            found.append(name)
    if _history(first) != _history(second):
        found.append("history.csv")
    scores = [(folder / "epoch1_test_score.pkl").read_bytes() for folder in (first, second)]
    return found + ([] if scores[0] == scores[1] else ["scores"])


def leftovers(work_dir: Path) -> list[str]:
    """Return what lies in a work directory half-written."""
    return [path.name for path in work_dir.rglob("*.part")]


def _momenta(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {f"momentum {key}": value["momentum_buffer"] for key, value in state["optimizer"]["state"].items()}


def _history(work_dir: Path) -> list[dict[str, str]]:
    with open(work_dir / "history.csv") as file:
        return [{key: value for key, value in row.items() if key != "clips_per_s"} for row in csv.DictReader(file)]


