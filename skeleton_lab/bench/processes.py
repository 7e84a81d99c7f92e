"""Each job in a process of its own, so that one model's crash, or its modules, stay out of the next one's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from skeleton_lab.bench.job import Job
from skeleton_lab.children import run_child

ROOT = Path(__file__).absolute().parents[2]  # not resolved: a linked engine serves the trees beside the link


def run_job(job: Job, root: Path = ROOT) -> dict[str, Any]:
    """Run a job and return its answer; `status` is "ok", "out of memory", "failed" or "killed", with `error`."""
    # The tree comes first on the import path as the working directory, the engine after it.
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "skeleton_lab.bench", job.to_json()]
    child = run_child(command, cwd=root / job.recipe.tree, env={**os.environ, "PYTHONPATH": path},
                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        hint = "; the system may have run out of memory" if name == "SIGKILL" else ""
        return {"status": "killed", "error": f"the process was ended by {name}{hint}"}
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
        return answer if isinstance(answer, dict) else {"status": "failed", "error": "no answer"}
    except (IndexError, ValueError):
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        return {"status": "failed", "error": f"exit status {child.returncode}: {last[:300]}"}


def is_here(tree: str, root: Path = ROOT) -> bool:
    """Whether a model's tree is in this checkout or image."""
    return (root / tree).is_dir()
