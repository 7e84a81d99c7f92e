"""Time and memory of a model's steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from skeleton_lab.bench.job import Subject
from skeleton_lab.bench.meters import count_flops
from skeleton_lab.machine import MIB, peak_resident_bytes


def measure(subject: Subject) -> dict[str, Any]:
    """Run and time the job's steps; return what was found, as plain numbers with their units in the names.

    GFLOPs are counted on a forward pass in training mode: some models fold work away for evaluation.
    """
    job = subject.job
    found = {"parameters": sum(p.numel() for p in subject.model.parameters()),
             "gflops_per_clip": gflops_per_clip(subject),
             "precision": str(subject.precision.dtype or torch.float32).removeprefix("torch."),
             "device_name": device_name(subject.device)}
    clips, labels = subject.random_clips(job.batch_size)
    cuda = subject.device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(subject.device)
    step_ms = time_steps(lambda: subject.step(clips, labels), job.steps, job.warmup,
                         torch.cuda.synchronize if cuda else lambda: None)
    median_ms = statistics.median(step_ms)
    found |= {"step_ms": median_ms, "step_ms_least": min(step_ms), "step_ms_most": max(step_ms),
              "clips_per_s": 1000 * job.batch_size / median_ms}
    if cuda:
        found["peak_allocated_mib"] = torch.cuda.max_memory_allocated(subject.device) / MIB
        found["peak_reserved_mib"] = torch.cuda.max_memory_reserved(subject.device) / MIB
    else:
        found["peak_resident_mib"] = peak_resident_bytes() / MIB
    return found


def time_steps(step: Callable[[], None], steps: int, warmup: int, synchronize: Callable[[], None]) -> list[float]:
    """Return the milliseconds of each of `steps` calls, after `warmup` uncounted ones, the device idle around each."""
    for _ in range(warmup):
        step()
    times_ms = []
    for _ in range(steps):
        synchronize()
        start_s = time.perf_counter()
        step()
        synchronize()
        times_ms.append(1000 * (time.perf_counter() - start_s))
    return times_ms


def gflops_per_clip(subject: Subject) -> float:
    """Return the counted 10^9 floating-point operations of one clip's forward pass (a multiply-add is two)."""
    number = subject.job.recipe.probe_clips[0]
    clips, _ = subject.random_clips(number)
    was_training = subject.model.training
    subject.model.train()
    try:
        with torch.no_grad():  # the counter's hooks fail in operators that call modules on their saved inputs
            return count_flops(lambda: subject.model(clips)) / number / 1e9
    finally:
        subject.model.train(was_training)


def device_name(device: torch.device) -> str:
    """Return what a report calls the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
