"""Work directories that hold what no training wrote, settings beyond all measure, shared memory that is not there."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys

import pytest

from skeleton_lab.train import checkpoint, workdir
from tests.faults.test_disk import assert_one_line
from tests.skeleton_lab.train.conftest import SHORT, TOY, run_here
from tests.trees import ROOT

NAMES = (".lock", "best.pt", "training_state.pt", "config.yaml", "runs-3-12.pt", "report.html")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert run_here(folder, "--num-epoch", "1", "--step", "1", "--warm-up-epoch", "0").returncode == 0
    return folder


@pytest.fixture
def work_dir(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "work")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("flag", ["--resume", "--overwrite"])
@pytest.mark.parametrize("name", NAMES)
def test_a_folder_in_place_of_a_file(work_dir, name, flag):
    (work_dir / name).unlink(missing_ok=True)
    (work_dir / name).mkdir()
    before = contents(work_dir)
    assert_one_line(run_here(work_dir, flag), f"{work_dir / name}: a folder, where a training", "--work-dir")
    assert {**before, **contents(work_dir)} == before  # .lock may be new; nothing is gone or changed


def test_a_file_in_place_of_a_folder(work_dir):
    shutil.rmtree(work_dir / "runs")
    (work_dir / "runs").write_text("mine")
    assert_one_line(run_here(work_dir, "--overwrite"), f"{work_dir / 'runs'}: a file, where a training writes a folder")
    assert (work_dir / "runs").read_text() == "mine"


def test_a_lock_of_another_user(work_dir, monkeypatch):
    def refuse(path, *rest, **options):
        if str(path).endswith(".lock"):
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, *rest, **options)

    monkeypatch.setattr(workdir, "open", refuse, raising=False)  # root may open anything
    assert_one_line(run_here(work_dir, "--resume"), ".lock: cannot be written (Permission denied)", "another user's")


def test_a_state_that_may_not_be_read_is_not_to_be_overwritten(work_dir, monkeypatch):
    def refuse(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("torch.load", refuse)
    monkeypatch.setattr(checkpoint.os, "access", lambda path, mode: mode != os.R_OK)
    done = run_here(work_dir, "--resume")
    assert_one_line(done, "training_state.pt: this user may not read it; mend its permissions (chmod, chown)")
    assert "--overwrite" not in done.stderr


@pytest.mark.parametrize(("flags", "complaint"), [
    (("--model-args", "num_class=0"), "num_class 0 in model_args: a model has one class at least"),
    (("--model-args", "num_class=-1"), "num_class -1 in model_args: a model has one class at least"),
    (("--model-args", "num_class=99999999999"), "the machine's memory does not suffice"),
    (("--lr-decay-rate", "1e30", "--step", "0", "0"), "--lr-decay-rate 1e+30: the learning rate of epoch 2 is too"),
])
def test_sizes_beyond_all_measure(tmp_path, flags, complaint):
    assert_one_line(run_here(tmp_path / "work", *flags), complaint)


@pytest.mark.parametrize(("flag", "value", "most"), [
    ("--weight-decay", "1e300", "3.4e+38"), ("--lr-decay-rate", "1e300", "3.4e+38"), ("--base-lr", "1e300", "3.4e+38"),
    ("--start-epoch", "12345678901234567890", "9223372036854775807"),
    ("--batch-size", "12345678901234567890", "9223372036854775807")])
def test_numbers_beyond_all_measure(tmp_path, flag, value, most):
    done = run_here(tmp_path / "work", flag, value)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"argument {flag}: expected a" in done.stderr and f"of at most {most}" in done.stderr
    assert not (tmp_path / "work" / "config.yaml").exists()


def test_a_matrix_of_too_many_classes_is_left_out(tmp_path):
    done = run_here(tmp_path, "--model-args", "num_class=10000", "--num-epoch", "1", "--step", "1")
    assert done.returncode == 0, done.stderr
    assert "confusion matrix are left out: 10,000 classes are more than the 2,000" in done.stdout
    assert (tmp_path / "best.pt").exists() and (tmp_path / "predictions.csv").exists()
    assert not list(tmp_path.glob("*each_class*")) and not (tmp_path / "confusion_matrix.png").exists()


def test_no_shared_memory_for_loader_processes(tmp_path, monkeypatch):
    def refuse():
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(multiprocessing, "Lock", refuse)
    assert_one_line(run_here(tmp_path, "--num-worker", "2"), "(/dev/shm: Read-only file system)", "--num-worker 0")


def test_shared_memory_that_is_too_small_ends_the_run(tmp_path):
    """PyTorch loses a batch that does not fit, and the run would wait for it for ever."""
    command = [sys.executable, "main.py", "--work-dir", tmp_path / "work", *SHORT, "--num-worker", "2"]
    small = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"', "sh"]
    if os.geteuid() or subprocess.run([*small, "true"], capture_output=True).returncode:
        pytest.skip("mounting a small /dev/shm needs root")
    done = subprocess.run([*small, *command], cwd=TOY, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert ("a loader process was killed, or ended for want of memory or shared memory" in done.stderr
            or "the loader processes have no shared memory left" in done.stderr)  # which of them is told first
