"""From answers to a verdict, with the answers made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skeleton_lab.bench.job import CAPACITY, MEASURE, Job
from skeleton_lab.bench.recipes import NTU60_EPOCH_CLIPS, RECIPES
from skeleton_lab.bench.verdict import Choice, Fit, Settings, assess, choose

MSG3D = RECIPES["msg3d"]  # 32 clips as two passes of 16
GPU = Settings("cuda:0", steps=10)


class Machine:
    """Answers jobs as a machine would on which so many clips fit; remembers what was asked."""

    def __init__(self, fits: int, fits_friendly: int | None = None, **failing: dict) -> None:
        self.fits, self.fits_friendly, self.failing = fits, fits_friendly, failing
        self.asked: list[Job] = []

    def __call__(self, job: Job) -> dict:
        self.asked.append(job)
        if job.kind in self.failing:
            return self.failing[job.kind]
        if job.kind == CAPACITY:
            return {"status": "ok", "offers_memory_friendly": self.fits_friendly is not None, "predicted": False,
                    "largest_batch": self.fits_friendly if job.memory_friendly else self.fits,
                    "budget_bytes": 8 * 10**9}
        return {"status": "ok", "clips_per_s": 100.0, "step_ms": 10.0 * job.batch_size, "peak_allocated_mib": 5000.0}

    def jobs(self, kind: str) -> list[Job]:
        return [job for job in self.asked if job.kind == kind]


@pytest.mark.parametrize(("fits", "expected"), [
    ([Fit(False, 16)], Choice("comfortable", 16, False)),
    ([Fit(False, 99)], Choice("comfortable", 16, False)),
    ([Fit(False, 15), Fit(True, 60)], Choice("tight", 16, True, ("--memory-friendly",))),
    ([Fit(False, 2), Fit(True, 15)], Choice("tight", 8, True, ("--memory-friendly", "--forward-batch-size 8"))),
    ([Fit(False, 7)], Choice("tight", 4, False, ("--forward-batch-size 4",))),
    ([Fit(False, 0), Fit(True, 1)], Choice("tight", 1, True, ("--memory-friendly", "--forward-batch-size 1"))),
    ([Fit(False, 0), Fit(True, 0)], Choice("no", 0, True)),
    ([Fit(True, 16)], Choice("tight", 16, True, ("--memory-friendly",))),
])
def test_the_gentlest_way_that_fits(fits, expected):
    assert choose(MSG3D, fits) == expected


def test_a_comfortable_recipe_is_measured_as_it_stands():
    machine = Machine(fits=20, fits_friendly=200)
    row = assess(MSG3D, GPU, machine)
    assert [job.kind for job in machine.asked] == [CAPACITY, MEASURE]  # recomputation is not even asked about
    measured = machine.jobs(MEASURE)[0]
    assert (measured.batch_size, measured.forward_batch_size, measured.num_frames) == (32, 16, 300)
    assert not measured.memory_friendly
    assert row["verdict"] == "comfortable"
    assert row["epoch_s"] == pytest.approx(NTU60_EPOCH_CLIPS / 100)
    assert row["recipe_s"] == pytest.approx(50 * row["epoch_s"])
    assert row["recipe_peak_bytes"] == 5000 * 2**20


def test_a_tight_recipe_is_measured_with_the_flags_it_needs():
    machine = Machine(fits=3, fits_friendly=9)
    row = assess(MSG3D, replace(GPU, budget_bytes=4 * 10**9, amp=True), machine)
    assert [job.memory_friendly for job in machine.jobs(CAPACITY)] == [False, True]
    measured = machine.jobs(MEASURE)[0]
    assert measured.memory_friendly and (measured.batch_size, measured.forward_batch_size) == (32, 8)
    assert all(job.budget_bytes == 4 * 10**9 and job.amp for job in machine.asked)
    assert row["verdict_flags"] == ["--memory-friendly", "--forward-batch-size 8"]
    assert row["largest_batch"] == 9


def test_nothing_fits():
    machine = Machine(fits=0)
    row = assess(MSG3D, GPU, machine)
    assert not machine.jobs(MEASURE)
    assert (row["verdict"], row["status"]) == ("no", "out of memory")


def test_a_failure_while_asking_or_measuring_is_the_row():
    failed = {"status": "failed", "error": "ImportError: nothing here"}
    row = assess(MSG3D, GPU, Machine(fits=20, capacity=failed))
    assert (row["status"], row["error"]) == ("failed", "ImportError: nothing here") and "verdict" not in row
    killed = {"status": "killed", "error": "the process was ended by SIGKILL"}
    row = assess(MSG3D, GPU, Machine(fits=20, measure=killed))
    assert row["status"] == "killed" and row["verdict"] == "comfortable" and "epoch_s" not in row


@pytest.mark.parametrize("change", [{"infer": True}, {"num_frames": 64}])
def test_no_verdict_on_what_is_not_the_recipe(change):
    machine = Machine(fits=20)
    row = assess(MSG3D, replace(GPU, **change), machine)
    assert "verdict" not in row and not machine.jobs(CAPACITY)
    row = assess(MSG3D, replace(GPU, find_batch_size=True, **change), machine)
    assert "verdict" not in row and row["largest_batch"] == 20


def test_an_explicit_batch_is_one_pass():
    machine = Machine(fits=40)
    assess(MSG3D, replace(GPU, batch_size=24), machine)
    assert (machine.asked[-1].batch_size, machine.asked[-1].forward_batch_size) == (24, 24)


def test_a_cpu_times_few_clips():
    machine = Machine(fits=16)
    assess(MSG3D, replace(GPU, device="cpu"), machine)
    assert (machine.asked[-1].batch_size, machine.asked[-1].forward_batch_size) == (1, 1)


def test_asking_for_recomputation_skips_the_plain_mode():
    machine = Machine(fits=20, fits_friendly=100)
    row = assess(MSG3D, replace(GPU, memory_friendly=True), machine)
    assert [job.memory_friendly for job in machine.asked] == [True, True]
    assert row["verdict_flags"] == ["--memory-friendly"]
