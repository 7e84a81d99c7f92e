"""Several processes that train together, on this machine, as `torchrun` would start them.

They are forked from a process that has imported torch already, which takes a tenth of the time.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.forked import CONTEXT

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
        return _outcomes(started, deadline)
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


def _outcomes(started: Sequence[tuple[Any, Connection]], deadline: float) -> list[tuple[str, Any]]:
    """Receive from whoever is ready: one process may not come to its end before another has been heard."""
    pending = {ours: rank for rank, (_, ours) in enumerate(started)}
    outcomes: list[tuple[str, Any]] = [(DIED, None)] * len(started)
    while pending:
        ready = wait(list(pending), max(deadline - time.monotonic(), 0))
        assert ready, f"processes {sorted(pending.values())} hang"
        for ours in ready:
            rank = pending.pop(ours)
            try:
                outcomes[rank] = ours.recv()
            except EOFError:
                process = started[rank][0]
                process.join()
                outcomes[rank] = DIED, process.exitcode
    return outcomes


def _serve(theirs: Connection, environment: dict[str, Any], function: Callable[..., Any], args: Sequence[Any]) -> None:
    import torch

    os.environ.update({name: str(value) for name, value in environment.items()})
    torch.set_num_threads(1)
    try:
        theirs.send(("returned", function(*args)))
    except BaseException:
        theirs.send(("raised", traceback.format_exc()))
