"""The commands of CTR-GCN's data preparation: one for each step, and one for all three."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from skeleton_lab.data.formats.ntu import NTU60, NTU120, Benchmark
from skeleton_lab.data.prepare.ctrgcn_archives import refuse_others_archives, write_archives
from skeleton_lab.data.prepare.ctrgcn_pipeline import DENOISED, RAW, Preparation, collect, denoise
from skeleton_lab.data.prepare.preparation import find_missing_list, find_skeletons
from skeleton_lab.data.prepare.workers import Crew
from skeleton_lab.files import claim

Step = Callable[[Preparation, Crew], None]


def collect_step(plan: Preparation, crew: Crew) -> None:
    """Run step 1 and print its summary."""
    print(f"1. {', '.join(map(str, plan.sources))} -> {plan.folder / RAW}")
    if plan.missing_list is None:
        print("   no list of samples with missing skeletons: recordings without any body are found and skipped, "
              "incomplete ones are not")
    print(collect(plan, crew).text(crew.jobs))


def denoise_step(plan: Preparation, crew: Crew) -> None:
    """Run step 2 and print its summary."""
    print(f"2. {plan.folder / RAW} -> {plan.folder / DENOISED}")
    print(denoise(plan, crew).text(crew.jobs))


def archive_step(plan: Preparation, crew: Crew) -> None:
    """Run step 3 and print what the archives hold."""
    print(f"3. {plan.folder / DENOISED} -> {plan.folder}")
    for entry in write_archives(plan, crew):
        train, test = (len(part.places) for part in entry.parts)
        print(f"{entry.path}: {train:,} training and {test:,} test clips of {entry.num_frames} frames")
        for count, what in ((train, "training"), (test, "test")):
            if not count:
                print(f"note: {entry.path.name} holds no {what} clips: none of the recordings belongs to that part of "
                      "its protocol")


BENCHMARKS = {"ntu60": NTU60, "ntu120": NTU120}
STEPS: dict[str, Step] = {"collect": collect_step, "denoise": denoise_step, "archive": archive_step}


def run(options: argparse.Namespace, benchmark: Benchmark, here: Path, steps: tuple[Step, ...]) -> None:
    """Run `steps` as `options` ask.

    Raises:
        UserError: bad input.
    """
    claim(options.out_folder)
    sources: tuple[Path, ...] = ()
    missing_list = None
    if collect_step in steps:
        sources = find_skeletons(options.skeletons, benchmark, [here.parent / "nturgbd_raw"], "--skeletons")
        missing_list = find_missing_list(options.missing_list, benchmark, sources)
    plan = Preparation(benchmark, options.out_folder, sources, missing_list, options.strict)
    if archive_step in steps:
        refuse_others_archives(plan)
    with Crew(options.jobs) as crew:
        for step in steps:
            step(plan, crew)
