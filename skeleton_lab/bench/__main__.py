"""Run one job, given as JSON, and print its answer as the last line of stdout, as JSON.

    cd CTR-GCN && PYTHONPATH=.. python3 -m skeleton_lab.bench '{"kind": "measure", "model": "ctrgcn", ...}'

The working directory is the model's tree. For people there is benchmark_models.py.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skeleton_lab.bench.capacity import capacity, held_bytes, is_out_of_memory
from skeleton_lab.bench.job import CAPACITY, HOLD, MEASURE, Job, set_up
from skeleton_lab.bench.measure import measure

DONE, FAILED, OUT_OF_MEMORY = "ok", "failed", "out of memory"
WORK = {MEASURE: measure, CAPACITY: capacity, HOLD: lambda subject: asdict(held_bytes(subject, subject.job.batch_size))}


def answer(job: Job) -> dict[str, Any]:
    """Do the job; a failure is an answer too."""
    try:
        subject = set_up(job)
        return {"status": DONE, **WORK[job.kind](subject)}
    except Exception as error:
        traceback.print_exc()
        status = OUT_OF_MEMORY if is_out_of_memory(error) else FAILED
        return {"status": status, "error": describe(error)}


def describe(error: BaseException) -> str:
    """Return an exception as one line that says where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text} ({Path(where.filename).name}, line {where.lineno})"


if __name__ == "__main__":
    print(json.dumps(answer(Job.from_json(sys.argv[1]))), flush=True)
