"""How many threads PyTorch gets, and whose choice that was."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from skeleton_lab.command import processors
from tests.trees import ROOT

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME",
             "SKELETON_LAB_THREADS")


@pytest.fixture
def machine(monkeypatch):
    """A machine of eight processors without limits: what its files say can be set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    files = {"/proc/stat": "cpu 1 2\nprocs_running 1\nprocs_blocked 0\n"}
    monkeypatch.setattr(processors, "_text", lambda path: files.get(path, ""))
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return files


@pytest.mark.parametrize(("running", "threads"), [(1, 8), (2, 7), (4, 5), (8, 1), (30, 1)])
def test_no_more_threads_than_free_processors(machine, running, threads):
    machine["/proc/stat"] = f"procs_running {running}\n"
    processors.settle_threads()
    assert os.environ["OMP_NUM_THREADS"] == str(threads)
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    assert processors.threads_are_chosen()


@pytest.mark.parametrize(("files", "cores"), [
    ({"/sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
    ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
    ({"/sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
    ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 2),
    ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 8),
])
def test_a_containers_quota_counts(machine, files, cores):
    machine.update(files)
    assert processors.usable_cores() == cores


def test_without_such_files_all_processors_are_free(machine):
    machine.clear()
    assert processors.free_cores() == 8


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_in_the_environment_stays(machine, monkeypatch, name):
    monkeypatch.setenv(name, "5")
    processors.settle_threads()
    assert os.environ.get("OMP_NUM_THREADS") == ("5" if name == "OMP_NUM_THREADS" else None)
    assert not processors.threads_are_chosen()


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"])
def test_a_way_to_wait_in_the_environment_stays(machine, monkeypatch, name):
    monkeypatch.setenv(name, "7")
    processors.settle_threads()
    assert os.environ.get("GOMP_SPINCOUNT") == ("7" if name == "GOMP_SPINCOUNT" else None)


def test_the_choice_comes_before_pytorch_and_is_said():
    """In a process of its own: PyTorch has as many threads as were chosen."""
    program = ("import skeleton_lab, os, sys; assert 'torch' not in sys.modules; import torch; "
               "from skeleton_lab.command.processors import threads_text; "
               "assert torch.get_num_threads() == int(os.environ['OMP_NUM_THREADS']); "
               "print(threads_text(torch.get_num_threads()))")
    env = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    said = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, env=env, text=True)
    assert "OMP_NUM_THREADS sets it" in said and "free of" in said
