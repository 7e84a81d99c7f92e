"""Interrupted runs end as if they had never been interrupted."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.skeleton_lab.train.conftest import SHORT, TOY, assert_same_weights, run_here

SLOW = ("--train-feeder-args", "clips=24,delay_s=0.02")  # an epoch of half a second and more


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The work directory of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("untouched")
    assert run_here(folder, *SLOW).returncode == 0
    return folder


def start(work_dir: Path, *flags: str) -> subprocess.Popen:
    command = [sys.executable, str(TOY / "main.py"), "--work-dir", str(work_dir), *SHORT, *SLOW, *flags]
    return subprocess.Popen(command, cwd=TOY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True)


def wait_for(work_dir: Path, line: str, process: subprocess.Popen) -> None:
    """Wait until the log has `line`."""
    log = work_dir / "log.txt"
    while not (log.exists() and line in log.read_text()):
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.01)


def assert_same_run(untouched: Path, resumed: Path) -> None:
    """Same last weights, best weights and history, to the bit."""
    assert_same_weights(untouched / "training_state.pt", resumed / "training_state.pt")
    assert_same_weights(untouched / "best.pt", resumed / "best.pt")
    histories = [list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
                 for folder in (untouched, resumed)]
    for history in histories:
        for row in history:
            del row["clips_per_s"]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("workers", ["1", "4"])
def test_killed_in_the_middle_of_an_epoch(untouched, tmp_path, workers):
    process = start(tmp_path, "--num-worker", workers)
    wait_for(tmp_path, "Training epoch: 2", process)
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert torch.load(tmp_path / "training_state.pt", weights_only=True)["progress"]["epoch"] == 1
    done = run_here(tmp_path, *SLOW, "--num-worker", workers, "--resume")
    assert done.returncode == 0, done.stderr
    assert "Resuming in epoch 2 after 0 batches, step 4." in done.stdout
    assert_same_run(untouched, tmp_path)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_it_saves_within_the_epoch(untouched, tmp_path, number, status):
    process = start(tmp_path)
    wait_for(tmp_path, "Training epoch: 2", process)
    time.sleep(0.15)
    process.send_signal(number)
    process.wait(timeout=60)
    assert process.returncode == status
    assert "the state is saved: go on with --resume" in (tmp_path / "log.txt").read_text()
    progress = torch.load(tmp_path / "training_state.pt", weights_only=True)["progress"]
    assert (progress["epoch"], progress["means"]["batches"]) > (1, 0)
    assert run_here(tmp_path, *SLOW, "--resume").returncode == 0
    assert_same_run(untouched, tmp_path)


def test_resuming_nothing_starts_from_the_beginning(untouched, tmp_path):
    done = run_here(tmp_path, *SLOW, "--resume")
    assert done.returncode == 0 and "starting from the beginning" in done.stdout
    assert_same_run(untouched, tmp_path)


def test_a_finished_run_can_be_extended(untouched, tmp_path):
    assert run_here(tmp_path, *SLOW, "--num-epoch", "1").returncode == 0
    assert run_here(tmp_path, *SLOW, "--resume").returncode == 0
    assert_same_run(untouched, tmp_path)


def test_a_damaged_state_is_told_and_the_one_before_is_used(untouched, tmp_path):
    assert run_here(tmp_path, *SLOW, "--num-epoch", "2").returncode == 0
    state = tmp_path / "training_state.pt"
    state.write_bytes(state.read_bytes()[:-500])
    done = run_here(tmp_path, *SLOW, "--resume")
    assert done.returncode == 0, done.stderr
    assert "Damaged training state" in done.stdout and "Using the state before it" in done.stdout
    assert "Resuming in epoch 2" in done.stdout
    assert_same_run(untouched, tmp_path)


def test_no_readable_state_is_an_error(tmp_path):
    (tmp_path / "training_state.pt").write_bytes(b"nothing")
    done = run_here(tmp_path, "--resume")
    assert done.returncode == 2 and "no earlier state is left" in done.stderr


def test_other_settings_are_refused(tmp_path):
    assert run_here(tmp_path, "--num-epoch", "1").returncode == 0
    done = run_here(tmp_path, "--resume", "--base-lr", "0.2")
    assert done.returncode == 2 and "base_lr: 0.1 before, 0.2 now" in done.stderr
