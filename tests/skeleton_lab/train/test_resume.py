"""Interrupted runs end as if they had never been interrupted."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from skeleton_lab.train.signals import StopRequest
from tests.forked import Started
from tests.skeleton_lab.train.conftest import SHORT, TOY, assert_same_weights, run_here

SLOW = ("--train-feeder-args", "clips=24,delay_s=0.02")  # an epoch of half a second and more


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The work directory of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("untouched")
    assert run_here(folder, *SLOW).returncode == 0
    return folder


def start(work_dir: Path, *flags: str) -> Started:
    command = [str(TOY / "main.py"), "--work-dir", str(work_dir), *SHORT, *SLOW, *flags]
    return Started(command, TOY, {**os.environ, "OMP_NUM_THREADS": "1"})


def wait_for(work_dir: Path, line: str, process: Started | subprocess.Popen) -> None:
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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
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


@pytest.mark.parametrize("spoil", [
    lambda state: state.pop("optimizer"), lambda state: state.update(progress="x"), lambda state: state.pop("settings"),
    lambda state: state["progress"].update(epoch=-5), lambda state: state.update(fingerprint="x")])
def test_a_state_that_lacks_something_is_told_too(untouched, tmp_path, spoil):
    shutil.copytree(untouched, tmp_path / "work")
    (tmp_path / "work" / "run.json").unlink()  # it says that there is nothing left to do
    state = torch.load(tmp_path / "work" / "training_state.pt", weights_only=True)
    spoil(state)
    torch.save(state, tmp_path / "work" / "training_state.pt")
    done = run_here(tmp_path / "work", *SLOW, "--resume")
    assert done.returncode == 0, done.stderr
    assert "Damaged training state" in done.stdout and "Resuming in epoch 3 after 0 batches" in done.stdout


def test_a_state_that_does_not_fit_is_one_line(untouched, tmp_path):
    path = tmp_path / "work" / "training_state.pt"
    for spoil in (lambda state: state["model"].update({"fc.weight": torch.ones(3, 9)}),
                  lambda state: state["generators"].update(torch=torch.ones(3))):
        shutil.copytree(untouched, tmp_path / "work", dirs_exist_ok=True)
        (tmp_path / "work" / "run.json").unlink()
        state = torch.load(path, weights_only=True)
        spoil(state)
        torch.save(state, path)
        done = run_here(tmp_path / "work", *SLOW, "--resume")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert "training_state.pt: does not fit this run" in done.stderr
    path.unlink()
    os.mkfifo(path)
    done = run_here(tmp_path / "work", *SLOW, "--resume")
    assert done.returncode == 2 and "training_state.pt: no file of data, where a training writes" in done.stderr


def test_no_readable_state_is_an_error(tmp_path):
    (tmp_path / "training_state.pt").write_bytes(b"nothing")
    done = run_here(tmp_path, "--resume")
    assert done.returncode == 2 and "no earlier state is left" in done.stderr


def test_other_settings_are_refused(tmp_path):
    assert run_here(tmp_path, "--num-epoch", "1").returncode == 0
    done = run_here(tmp_path, "--resume", "--base-lr", "0.2")
    assert done.returncode == 2 and "base_lr: 0.1 before, 0.2 now" in done.stderr


def test_a_refused_resumption_changes_no_file(untouched, tmp_path):
    shutil.copytree(untouched, tmp_path / "work")
    before = contents(tmp_path / "work")
    for flags in (("--base-lr", "0.2"), ("--weights", "missing.pt"), ("--train-feeder-args", "clips=2"),
                  ("--train-feeder-args", "clip=24"), ("--model", "toy_model.Modell")):
        assert run_here(tmp_path / "work", *SLOW, "--resume", *flags).returncode == 2
        assert contents(tmp_path / "work") == before


@pytest.mark.parametrize("flags", [
    ("--weights", "missing.pt"), ("--model", "toy_model.Modell"), ("--feeder", "toy_feeder.Feed"),
    ("--test-feeder-args", "clip=24"), ("--batch-size", "7", "--forward-batch-size", "2"),
    ("--model-args", "num_class=2")])
def test_overwriting_with_a_mistake_deletes_nothing(untouched, tmp_path, flags):
    shutil.copytree(untouched, tmp_path / "work")
    before = contents(tmp_path / "work")
    done = run_here(tmp_path / "work", *SLOW, "--overwrite", *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert contents(tmp_path / "work") == before


def test_weights_of_the_run_that_is_overwritten_can_start_the_new_one(untouched, tmp_path):
    shutil.copytree(untouched, tmp_path / "work")
    done = run_here(tmp_path / "work", *SLOW, "--overwrite", "--weights", str(tmp_path / "work" / "best.pt"))
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "work" / "log.txt").read_text()
    assert log.count("Load weights from") == 1 and log.count("Training epoch: 1\n") == 1


def test_stopped_while_the_best_weights_are_tested_again(untouched, tmp_path):
    flags = ("--feeder", "stopper.AtTheRetest", "--test-feeder-args", f"once={tmp_path / 'once'}",
             "--train-feeder-args", f"once={tmp_path / 'once'}")
    work_dir = tmp_path / "work"
    done = run_here(work_dir, *flags)
    assert done.returncode == 143, done
    assert "Stopped by a signal while the best weights were tested again" in done.stdout
    assert json.loads((work_dir / "run.json").read_text())["train"]["finished"] is None
    assert not (work_dir / "epoch1_test_score.pkl").exists() and "curves: tensorboard" not in done.stdout
    done = run_here(work_dir, *flags, "--resume")
    assert done.returncode == 0 and "curves: tensorboard" in done.stdout
    assert json.loads((work_dir / "run.json").read_text())["train"]["finished"]
    assert {"epoch1_test_score.pkl", "confusion_matrix.png", "curves.png", "report.html"} <= {
        path.name for path in work_dir.iterdir()}
    assert_same_run(untouched, work_dir)


def test_loader_processes_that_hang_do_not_hold_up_the_end(tmp_path):
    command = [sys.executable, "main.py", "--work-dir", tmp_path, *SHORT, *SLOW, "--num-worker", "2"]
    process = subprocess.Popen(command, cwd=TOY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a shell's ignores it
    wait_for(tmp_path, "Training epoch: 2", process)
    children = children_of(process.pid)
    assert len(children) >= 2
    for child in children:
        os.kill(child, signal.SIGSTOP)
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(0.5)
    try:
        process.wait(timeout=60)
        assert process.returncode in (130, -signal.SIGTERM)
        assert b"Traceback" not in process.stderr.read()
        assert not [child for child in children if Path(f"/proc/{child}").exists()]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """Return the processes that `pid` has started (Linux)."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()]


def contents(folder: Path) -> dict[str, bytes]:
    """Return what each file of a folder holds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lock"}


def test_a_hangup_that_is_ignored_stays_ignored():
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.exit_status == 143
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
