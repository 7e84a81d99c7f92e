"""Ctrl-C before, while and after a script's libraries load."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys
from skeleton_lab.command.options import read_early
from skeleton_lab.errors import run_command

def press(moment):
    if sys.argv[1] == moment:
        os.kill(os.getpid(), signal.SIGINT)
    return moment

def main(options):
    try:
        press("working")
    finally:
        print("tidied up")

if sys.argv[2] == "ignored":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
options = read_early(lambda: press("reading"))
press("loading")
run_command(main, options)
"""


def press(moment: str, handling: str = "default") -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, moment, handling], capture_output=True, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a shell's job ignores it
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("moment", "printed"), [("reading", ""), ("loading", ""), ("working", "tidied up\n")])
def test_one_line_and_status_130(moment, printed):
    assert press(moment) == (130, printed, "interrupted\n")


def test_who_ignores_it_goes_on():
    assert press("loading", "ignored") == (0, "tidied up\n", "")
