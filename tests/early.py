"""Command lines of scripts, each in a process that has imported nothing yet: what they answer, and what they load.

Run by itself it reads a JSON list of [folder, script, argument, ...] and answers with what each printed, its status and
the slow libraries that it had imported when it ended. All are forked from this one, which saves starting a Python each.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

SLOW = ("torch", "numpy", "matplotlib", "sklearn", "scipy", "h5py", "tensorboard", "tqdm")


def answers(commands: Sequence[Sequence[str]]) -> list[SimpleNamespace]:
    """Run commands, each [folder, script, argument, ...], from nothing; return status, out, err and loaded of each."""
    done = subprocess.run([sys.executable, __file__], input=json.dumps(commands), capture_output=True, text=True,
                          check=True)
    return [SimpleNamespace(**answer) for answer in json.loads(done.stdout)]


def _answer(command: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if not child:
            _become(command, out.fileno(), err.fileno(), told.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err, told):
            file.seek(0)
            texts.append(file.read())
    return {"status": status, "out": texts[0], "err": texts[1], "loaded": texts[2].split()}


def _become(command: Sequence[str], out: int, err: int, told: int) -> None:
    """Run a script in this process, as `python3 SCRIPT ...` would; never returns."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(command[0])
    sys.argv[:] = command[1:]
    sys.path[0] = command[0]
    status = 1
    try:
        runpy.run_path(command[1], run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(told, " ".join(name for name in SLOW if name in sys.modules).encode())
        os._exit(status)


if __name__ == "__main__":
    json.dump([_answer(command) for command in json.load(sys.stdin)], sys.stdout)
