"""Scripts of the checkout, run as `python3 SCRIPT ...` would run them, in processes of their own.

The processes are forked from one that has imported PyTorch and the engine: importing them takes longer than most of
what a test asks of a script. What a script itself forgets to import, only `fresh` processes can tell.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.trees import ROOT

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.preload"])


def run_fresh(arguments: Sequence[str], cwd: Path, env: Mapping[str, str],
              timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run `python3 ARGUMENTS` from the very start; return what it printed and how it ended."""
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout_s,
                          env=dict(env), stdin=subprocess.DEVNULL)


def run_forked(arguments: Sequence[str], cwd: Path, env: Mapping[str, str],
               timeout_s: float) -> subprocess.CompletedProcess[str]:
    """The same, of a script, in a forked process."""
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        process = CONTEXT.Process(target=_become, args=(arguments, cwd.resolve(), dict(env), stdout, stderr))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout_s)
        return subprocess.CompletedProcess(list(arguments), process.exitcode, stdout.read_text(), stderr.read_text())


def _become(arguments: Sequence[str], cwd: Path, env: dict[str, str], stdout: Path, stderr: Path) -> None:
    """Take on all that a script can see of the process it runs in, and run it."""
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, stdout, os.O_WRONLY | os.O_CREAT),
                                    (2, stderr, os.O_WRONLY | os.O_CREAT)):
        os.dup2(os.open(path, flags), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # TMPDIR may be another one
    script = Path(os.path.abspath(arguments[0]))
    installed = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    sys.path[:] = [str(script.parent), *installed]
    sys.argv[:] = arguments
    if ROOT not in script.parents:  # it has an engine of its own beside it
        for name in [name for name in sys.modules if name.split(".")[0] == "skeleton_lab"]:
            del sys.modules[name]
    runpy.run_path(str(script), run_name="__main__")
