"""Full disks, folders that vanish, files left half-written, two runs in one folder: one line, and nothing lost."""

from __future__ import annotations

import os
import resource
import subprocess
from contextlib import contextmanager

import pytest
import torch

from skeleton_lab.files import sweep_parts, write_text
from tests.faults.kills import differences
from tests.forked import CONTEXT
from tests.skeleton_lab.train.conftest import assert_same_weights, run_here

EPOCHS = ("--num-epoch", "4", "--save-interval", "2")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The work directory of a run that nothing befell."""
    folder = tmp_path_factory.mktemp("untouched")
    assert run_here(folder, *EPOCHS).returncode == 0
    return folder


@pytest.fixture
def begun(tmp_path):
    """A work directory after two of four epochs."""
    work_dir = tmp_path / "work"
    assert run_here(work_dir, *EPOCHS, "--num-epoch", "2").returncode == 0
    return work_dir


@contextmanager
def largest_file(num_bytes: int):
    """Let no file grow beyond this, as on a disk that fills up (in this process, for the block)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_one_line(done, *parts: str) -> None:
    """Exit status 2 and one line on stderr that has these parts."""
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1, done.stderr
    for part in ("error: ", *parts):
        assert part in done.stderr


def state_of(work_dir, name="training_state.pt"):
    return torch.load(work_dir / name, weights_only=True)


def test_a_state_that_does_not_fit_leaves_the_one_before(untouched, begun):
    size = (begun / "training_state.pt").stat().st_size
    before = [(begun / name).read_bytes() for name in ("training_state.pt", "training_state.previous.pt")]
    with largest_file(size - 100):
        done = run_here(begun, *EPOCHS, "--resume")
    assert_one_line(done, "training_state.pt: cannot write it (File too large)")
    assert [(begun / name).read_bytes() for name in ("training_state.pt", "training_state.previous.pt")] == before
    assert not list(begun.rglob("*.part"))
    assert run_here(begun, *EPOCHS, "--resume").returncode == 0
    assert not differences(untouched, begun)


def test_a_log_that_does_not_fit(untouched, begun):
    with largest_file((begun / "log.txt").stat().st_size + 40):
        done = run_here(begun, *EPOCHS, "--resume")
    assert_one_line(done, "File too large", "--resume")
    assert state_of(begun)["progress"]["epoch"] == 2
    assert run_here(begun, *EPOCHS, "--resume").returncode == 0
    assert not differences(untouched, begun)


def test_no_space_left_for_the_log(begun):
    (begun / "log.txt").unlink()
    (begun / "log.txt").symlink_to("/dev/full")
    assert_one_line(run_here(begun, *EPOCHS, "--resume"), "log.txt: cannot write the log (No space left on device)")
    assert state_of(begun)["progress"]["epoch"] == 2


def test_a_small_disk_that_is_full(untouched, tmp_path):
    """A real one: wherever the space ends, it is one line, and with more space the run goes on as if nothing was."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        done = run_here(disk / "work", *EPOCHS)
        assert_one_line(done, "No space left on device")
        ends = 1
        for size_kib in range(128, 4096, 64):
            subprocess.run(["mount", "-o", f"remount,size={size_kib}k", disk], check=True)
            done = run_here(disk / "work", *EPOCHS, "--resume")
            if done.returncode == 0:
                break
            assert_one_line(done, "No space left on device")
            ends += 1
        assert done.returncode == 0 and ends > 1
        assert not differences(untouched, disk / "work")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_work_directory_that_vanishes(tmp_path):
    work_dir = tmp_path / "work"
    done = run_here(work_dir, "--feeder", "stopper.Vanishing", "--train-feeder-args", f"work_dir={work_dir}")
    assert_one_line(done, "(the work directory is gone)")
    assert not work_dir.exists()


def test_best_weights_that_vanish_are_told_at_the_end(begun):
    os.unlink(begun / "best.pt")
    state = state_of(begun)
    state["best"]["accuracy"] = 2.0  # so that no epoch is better
    torch.save(state, begun / "training_state.pt")
    assert_one_line(run_here(begun, *EPOCHS, "--resume"), "best.pt: no such file")


def test_a_power_cut_between_the_two_moves_of_a_save(untouched, begun):
    """The state has been moved aside, the new one not yet in its place."""
    os.replace(begun / "training_state.pt", begun / "training_state.previous.pt")
    (begun / ".training_state.pt.99999999.part").write_bytes(b"half a state")
    done = run_here(begun, *EPOCHS, "--resume")
    assert done.returncode == 0 and "Resuming in epoch 3" in done.stdout
    assert not list(begun.rglob("*.part"))
    assert not differences(untouched, begun)


def test_parts_of_killed_processes_are_swept_and_others_left(tmp_path):
    (tmp_path / "weights").mkdir()
    process = subprocess.Popen(["sleep", "60"])
    try:
        swept = [".best.pt.99999999.part", "weights/.w-1.pt.99999998.part", f".log.{os.getpid()}.part"]
        left = [f".best.pt.{process.pid}.part", "mine.part", ".mine.part", "notes.txt"]
        for name in swept + left:
            (tmp_path / name).write_text("")
        assert sorted(sweep_parts(tmp_path)) == sorted(tmp_path / name for name in swept)
        assert all((tmp_path / name).exists() for name in left)
    finally:
        process.kill()
        process.wait()


def hold(work_dir, held, done):
    from skeleton_lab.train.workdir import WorkDir

    with WorkDir(work_dir).claimed():
        held.set()
        done.wait()


def test_two_trainings_in_one_folder(begun):
    held, done = CONTEXT.Event(), CONTEXT.Event()
    other = CONTEXT.Process(target=hold, args=(begun, held, done))
    other.start()
    try:
        assert held.wait(120)
        for flag in ("--resume", "--overwrite"):
            assert_one_line(run_here(begun, *EPOCHS, flag), "another process is training here")
        assert state_of(begun)["progress"]["epoch"] == 2
    finally:
        done.set()
        other.join()
    assert run_here(begun, *EPOCHS, "--num-epoch", "2", "--resume").returncode == 0


def test_a_file_is_made_durable_before_it_takes_its_place(tmp_path, monkeypatch):
    calls = []

    def recorded(name, call):
        return lambda *args: (calls.append(name), call(*args))[1]

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, recorded(name, getattr(os, name)))
    write_text(tmp_path / "a.txt", "content")
    assert calls == ["fsync", "replace", "fsync"]  # the content, the move, the folder


def test_overwrite_leaves_other_peoples_part_files(begun):
    (begun / "download.part").write_text("mine")
    assert run_here(begun, *EPOCHS, "--num-epoch", "1", "--overwrite").returncode == 0
    assert (begun / "download.part").read_text() == "mine"


def test_an_untouched_state_goes_on_alike(untouched, begun):
    assert run_here(begun, *EPOCHS, "--resume").returncode == 0
    assert_same_weights(untouched / "training_state.pt", begun / "training_state.pt")
