"""What this machine is, and how much memory the process has taken of it; plain facts for reports and tables."""

from __future__ import annotations

import platform
import re
import resource
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skeleton_lab.command.processors import usable_cores

MIB = 2**20


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what a report says of the machine, as plain data that JSON can hold.

    Keys: `cpu` (its model), `cores` (those this process may use), `memory_mib`, `gpu` and `gpu_memory_mib` (None where
    `device` is the CPU), `os`, `python`, `torch`, `cuda` (the version torch was built for, or None), `cudnn`, `numpy`.
    """
    gpu = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    return {
        "cpu": _cpu_model(), "cores": usable_cores(), "memory_mib": _memory_mib(),
        "gpu": gpu.name if gpu else None, "gpu_memory_mib": gpu.total_memory // MIB if gpu else None,
        "os": platform.platform(), "python": platform.python_version(), "torch": str(torch.__version__),
        "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version() if gpu else None,
        "numpy": str(np.__version__),
    }


def peak_resident_bytes() -> int:
    """Return the most memory that this process has had resident: the interpreter and torch itself included."""
    match = re.search(r"VmHWM:\s+(\d+) kB", _text_of("/proc/self/status"))
    return int(match.group(1)) * 1024 if match else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", _text_of("/proc/cpuinfo"), re.M)
    return match.group(1).strip() if match else platform.processor() or platform.machine()


def _memory_mib() -> int | None:
    match = re.search(r"^MemTotal:\s+(\d+) kB", _text_of("/proc/meminfo"), re.M)
    return int(match.group(1)) // 1024 if match else None


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # not Linux
        return ""
