"""How many processors this process may use, and how PyTorch's threads share them with other work.

PyTorch's threads meet at barriers several thousand times a second, and wait there spinning. Alone on the machine that
is fastest. Beside other work a spinning thread takes the processor from the one that it waits for: two threads are
then several times as slow as one. So the spin is short, and there are no more threads than free processors.
"""

from __future__ import annotations

import math
import os
import re
import time
from pathlib import Path

THREADS, SPIN = "OMP_NUM_THREADS", "GOMP_SPINCOUNT"
_OTHERS_ABOUT_THREADS = ("MKL_NUM_THREADS",)
_OTHERS_ABOUT_SPIN = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")
_CHOSEN = "SKELETON_LAB_THREADS"  # says to processes started from here that the number was not the user's
_SPINS = "1000"  # some microseconds; the default is forever when there are no more threads than processors
_LOOKS, _PAUSE_S = 5, 0.002


def settle_threads() -> None:
    """Choose the number of PyTorch's threads and how they wait, unless the environment says so already.

    It must come before PyTorch is imported: OpenMP reads its variables once. They are inherited by processes that are
    started from here.
    """
    if not any(name in os.environ for name in (SPIN, *_OTHERS_ABOUT_SPIN)):
        os.environ[SPIN] = _SPINS
    if not any(name in os.environ for name in (THREADS, *_OTHERS_ABOUT_THREADS)):
        os.environ[THREADS] = os.environ[_CHOSEN] = str(free_cores())


def threads_are_chosen() -> bool:
    """Return whether the number of threads is `settle_threads`' choice, not the user's."""
    return os.environ.get(THREADS) is not None and os.environ.get(THREADS) == os.environ.get(_CHOSEN)


def threads_text(threads: int) -> str:
    """Return one line for a log on the number of threads and whose choice it was."""
    cores = usable_cores()
    whose = f"free of {cores} usable" if threads_are_chosen() else "as the environment says"
    return f"{threads} {'thread' if threads == 1 else 'threads'} ({whose}; {THREADS} sets it)"


def free_cores() -> int:
    """Return how many of the usable processors nothing else is running on now; at least one."""
    cores = usable_cores()
    return max(1, cores - _others_running()) if cores > 1 else 1


def usable_cores() -> int:
    """Return how many processors this process may use: by its affinity, and by its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _container_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _container_quota() -> float | None:
    """Return the processors that control groups allow, version 2 or 1; None without a limit."""
    words = _text("/sys/fs/cgroup/cpu.max").split()
    if len(words) != 2:
        words = [_text(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    try:
        quota, period = (float(word) for word in words)
    except ValueError:  # "max", or no control groups here
        return None
    return quota / period if quota > 0 and period > 0 else None


def _others_running() -> int:
    """Return how many threads of others run or wait for a processor: the median of a few looks, 0 where unknown."""
    looks = []
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE_S)
        if not (found := re.search(r"^procs_running (\d+)", _text("/proc/stat"), re.M)):
            return 0
        looks.append(int(found.group(1)) - 1)  # this one runs too
    return max(0, sorted(looks)[_LOOKS // 2])


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, ValueError):
        return ""
