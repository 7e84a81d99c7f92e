"""The first process of an image, run here as an ordinary one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skeleton_lab.container import Process, complaints, to_stop
from tests.trees import ROOT

DATA, RESULTS = Path("/workspace/data"), Path("/workspace/work_dir")
ENTRY = [sys.executable, str(ROOT / "skeleton_lab" / "container.py"), "--"]


def test_a_missing_mount_is_one_line_that_names_it():
    lines = complaints([DATA], [RESULTS], [Path("/"), Path("/proc")])
    assert [line.split(":")[0] for line in lines] == [str(DATA), str(RESULTS)]
    assert all("target=" + line.split(":")[0] in line and "\n" not in line for line in lines)


def test_a_mount_on_the_folder_or_above_it_is_enough():
    assert complaints([DATA], [RESULTS], [Path("/"), DATA, RESULTS]) == []
    assert complaints([DATA / "ntu"], [], [DATA]) == []


def test_an_empty_mount_is_told(tmp_path):
    assert complaints([tmp_path], [], [tmp_path]) == [f"{tmp_path}: mounted, but empty; check the source of the mount"]
    (tmp_path / "file").touch()
    assert complaints([tmp_path], [], [tmp_path]) == []


def test_the_signal_goes_to_the_topmost_processes_that_heed_it():
    shell, training, loader, orphan, of_exec = 5, 6, 7, 8, 9
    processes = {1: Process(0, False), shell: Process(1, True), training: Process(shell, False),
                 loader: Process(training, False), orphan: Process(1, False), of_exec: Process(0, False)}
    assert to_stop(processes, 1) == {training, orphan, of_exec}
    assert to_stop({1: Process(0, False), shell: Process(1, True)}, 1) == set()


@pytest.mark.parametrize(("command", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_the_status_is_the_commands(command, status):
    assert subprocess.run([*ENTRY, "bash", "-c", command], timeout=60).returncode == status


def test_a_command_that_is_not_there_is_one_line():
    done = subprocess.run([*ENTRY, "no-such-command"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (127, "error: no-such-command: No such file or directory\n")


def test_the_command_gets_the_signals_it_would_have_without():
    command = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
    with_it, without = (subprocess.run(line, capture_output=True, text=True, timeout=60).stdout
                        for line in ([*ENTRY, *command], command))
    assert with_it == without
    assert "SigBlk" in without


# A training that saves before it ends. Ignoring a signal is inherited; it takes that back, as the engine does.
SAVES = """
import signal, sys
def save(*_):
    print("saved", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("in_a_deaf_shell", [False, True])
def test_a_stop_request_reaches_the_training(in_a_deaf_shell, tmp_path):
    program = tmp_path / "saves.py"
    program.write_text(SAVES)
    command = [sys.executable, str(program)]
    if in_a_deaf_shell:  # as an interactive one: it lives on when the training has ended
        command = ["bash", "-c", f"trap '' TERM; {sys.executable} {program}; read -r line < {tmp_path}/end"]
        os.mkfifo(tmp_path / "end")
    with subprocess.Popen([*ENTRY, *command], stdout=subprocess.PIPE, text=True) as entry:
        assert entry.stdout.readline() == "ready\n"
        entry.send_signal(signal.SIGTERM)
        assert entry.stdout.readline() == "saved\n"
        assert entry.wait(60) == 143
    if in_a_deaf_shell:
        (tmp_path / "end").write_text("\n")
