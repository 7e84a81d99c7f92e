"""Several processes that train together, on this machine, as `torchrun` would start them.

They are forked from a process that has imported torch already, which takes a tenth of the time.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.preload"])
DIED = "died"  # what a process yields that ended without a result


def run_ranks(size: int, function: Callable[..., Any], *args: Any, timeout_s: float = 240) -> list[Any]:
    """Call `function(*args)` in `size` processes that form one world; return their results in order.

    Raises:
        AssertionError: one of them raised, or they took longer than `timeout_s`.
    """
    results = try_ranks(size, function, *args, timeout_s=timeout_s)
    for rank, (outcome, value) in enumerate(results):
        assert outcome == "returned", f"process {rank} {outcome}:\n{value}"
    return [value for _, value in results]


def try_ranks(size: int, function: Callable[..., Any], *args: Any, timeout_s: float = 240) -> list[tuple[str, Any]]:
    """The same, but return for each process ("returned", value), ("raised", traceback) or ("died", exit status)."""
    port = free_port()
    started = []
    for rank in range(size):
        ours, theirs = CONTEXT.Pipe(duplex=False)
        environment = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size,
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        process = CONTEXT.Process(target=_serve, args=(theirs, environment, function, args))
        process.start()
        theirs.close()
        started.append((process, ours))
    deadline = time.monotonic() + timeout_s
    try:
        return [_outcome(process, ours, deadline) for process, ours in started]
    finally:
        for process, _ in started:
            process.join(timeout=max(deadline - time.monotonic(), 1))
            process.kill()
            process.join()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _outcome(process: Any, ours: Connection, deadline: float) -> tuple[str, Any]:
    assert ours.poll(max(deadline - time.monotonic(), 0)), "the processes hang"
    try:
        return ours.recv()
    except EOFError:
        process.join()
        return DIED, process.exitcode


def _serve(theirs: Connection, environment: dict[str, Any], function: Callable[..., Any], args: Sequence[Any]) -> None:
    import torch

    os.environ.update({name: str(value) for name, value in environment.items()})
    torch.set_num_threads(1)
    try:
        theirs.send(("returned", function(*args)))
    except BaseException:
        theirs.send(("raised", traceback.format_exc()))
