"""How far off are the benchmark's predictions of training memory? Compares them with what is measured.

    python3 benchmarks/memory_prediction.py                     # on the CPU: bytes kept by autograd
    python3 benchmarks/memory_prediction.py --device cuda:0     # on a GPU: torch's own peak of allocated memory

A prediction extrapolates from two small steps on the CPU (skeleton_lab/bench/capacity.py). On the CPU it is compared
with the bytes that autograd holds at a larger batch; on a GPU, its peak with `max_memory_allocated` at the papers'
batch sizes. Writes docs/memory_prediction.md, and the figures that benchmark_models.py quotes; those of the other kind
of device are kept. Takes several minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import json

import torch

from skeleton_lab.bench import tables
from skeleton_lab.bench.capacity import Footprint
from skeleton_lab.bench.job import CAPACITY, HOLD, MEASURE, Job
from skeleton_lab.bench.processes import run_job
from skeleton_lab.errors import UserError, run_command
from skeleton_lab.files import write_text

TABLE = ROOT / "docs" / "memory_prediction.md"
ANY_BUDGET = 10**9


@dataclass(frozen=True)
class Point:
    """One comparison: a model at a clip length and in a precision; clips per pass on a CPU and on a GPU."""

    model: str
    num_frames: int
    cpu_clips: int
    gpu_clips: int
    amp: bool = False
    memory_friendly: bool = False

    def job(self, kind: str, device: str, clips: int) -> Job:
        return Job(kind, self.model, device, self.num_frames, clips, clips, steps=3, amp=self.amp,
                   memory_friendly=self.memory_friendly, budget_bytes=ANY_BUDGET if kind == CAPACITY else None)


POINTS = (
    Point("ctrgcn", 64, 8, 64), Point("ctrgcn", 64, 8, 64, amp=True), Point("ctrgcn", 64, 8, 64, memory_friendly=True),
    Point("ctrgcn", 150, 4, 32),
    Point("msg3d", 64, 4, 32), Point("msg3d", 64, 4, 32, amp=True), Point("msg3d", 64, 4, 32, memory_friendly=True),
    Point("msg3d", 300, 3, 16),
    Point("baseline", 64, 8, 64), Point("gcn", 64, 64, 256), Point("mlp", 32, 512, 1024),
)


def ask(job: Job) -> dict[str, Any]:
    answer = run_job(job)
    if answer["status"] != "ok":
        raise UserError(f"{job.model}: {answer['status']}: {answer['error']}")
    return answer


def compare(point: Point, device: torch.device) -> dict[str, Any]:
    """Predict on the CPU, measure on `device`; return the figures of one point."""
    line = Footprint(**ask(point.job(CAPACITY, "cpu", 1))["footprint"])
    if device.type == "cuda":
        clips, name = point.gpu_clips, torch.cuda.get_device_name(device)
        predicted = line.peak(clips)
        measured = ask(point.job(MEASURE, str(device), clips))["peak_allocated_mib"] * 2**20
    else:
        clips, name = point.cpu_clips, "CPU"
        predicted = line.kept(clips)
        measured = ask(point.job(HOLD, "cpu", clips))["kept"]
    mode = ", ".join(word for word, on in (("mixed precision", point.amp), ("memory-friendly", point.memory_friendly))
                     if on)
    return {"device_type": device.type, "device": name, "torch": torch.__version__, "model": point.model,
            "clips": clips, "num_frames": point.num_frames, "mode": mode or "fp32", "predicted_bytes": round(predicted),
            "measured_bytes": round(measured)}


def markdown(checks: list[dict[str, Any]]) -> str:
    """Return the page of all comparisons."""
    lines = ["# How far off the memory predictions are", "",
             "Made by `python3 benchmarks/memory_prediction.py` (on a GPU: `--device cuda:0`). Predicted: a straight "
             "line through two small steps on the CPU. Measured: on a CPU the bytes that autograd holds after the "
             "forward pass; on a GPU torch's peak of allocated memory over training steps. MB: 10^6 bytes.", "",
             tables.accuracy_text(checks), "",
             "| device | model | clips per pass | T | mode | predicted MB | measured MB | off by |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    lines += map(markdown_row, checks)
    return "\n".join(lines) + "\n"


def markdown_row(check: dict[str, Any]) -> str:
    predicted, measured = check["predicted_bytes"], check["measured_bytes"]
    cells = (f"{check['device']}, torch {check['torch']}", check["model"], check["clips"], check["num_frames"],
             check["mode"], f"{predicted / 1e6:,.1f}", f"{measured / 1e6:,.1f}", f"{predicted / measured - 1:+.1%}")
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu or cuda:0 (default: cpu)")
    parser.add_argument("--points", type=int, default=len(POINTS),
                        help="only the first so many, and write nothing (default: all)")
    parser.add_argument("--dry", action="store_true", help="print the lines; write nothing")
    arguments = parser.parse_args()
    if arguments.device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch sees no GPU; run check_gpu.py")
    checks = [check for check in tables.load_checks() if check["device_type"] != arguments.device.type]
    for point in POINTS[:arguments.points]:
        checks.append(compare(point, arguments.device))
        print(markdown_row(checks[-1]), flush=True)
        if not arguments.dry and arguments.points >= len(POINTS):  # after each point: an interruption loses one
            write_text(tables.CHECKS, json.dumps(checks, indent=1) + "\n")
            write_text(TABLE, markdown(checks))


if __name__ == "__main__":
    run_command(main)
