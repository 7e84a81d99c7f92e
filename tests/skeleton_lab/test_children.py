"""Processes of a script end with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skeleton_lab.children import child, run_child
from tests.trees import ROOT

PARENT = """
import sys
from skeleton_lab.children import child
with child([sys.executable, "-c", "import time; time.sleep(300)"]) as process:
    print(process.pid, flush=True)
    process.wait()
"""


def gone_soon(process: int) -> bool:
    """Whether a process ends within some seconds (a dead one that nobody has waited for counts as ended)."""
    for _ in range(1000):
        try:
            os.kill(process, 0)
            if "\nState:\tZ" in Path(f"/proc/{process}/status").read_text():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def with_default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # a suite in the background of a shell ignores some


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)])
def test_a_child_ends_with_its_parent(number, status):
    if number == signal.SIGKILL and not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells a process that its parent was killed")
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                          preexec_fn=with_default_signals) as parent:
        pid = int(parent.stdout.readline())
        parent.send_signal(number)
        assert parent.wait(60) == status
    assert gone_soon(pid)


def test_a_child_that_is_deaf_is_killed_and_one_that_ends_is_answered(monkeypatch):
    monkeypatch.setattr("skeleton_lab.children._PATIENCE_S", 0.1)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(300)"
    with child([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
    assert process.returncode == -signal.SIGKILL
    done = run_child([sys.executable, "-c", "import sys; print('out'); sys.exit(3)"], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", None)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
