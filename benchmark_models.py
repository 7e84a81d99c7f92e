"""Can this machine run these models comfortably? Synthetic training loops, and a verdict on each paper's recipe.

    python3 benchmark_models.py                                                # all models; needs no data
    python3 benchmark_models.py --model ctrgcn --steps 50 --device cuda:0 --amp
    python3 benchmark_models.py --vram-gb 8                                    # as if the card had 8 GB

Without a GPU it predicts the memory that training takes on one (8 GB unless told otherwise), estimates the hours by
card, and times this CPU.
Each model runs in a process of its own; one that fails is a row that says so, and the exit status is 1. It measures
neither data loading nor accuracy: clips are random numbers.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.bench.recipes import RECIPES, Recipe
from skeleton_lab.command.options import Parser, read_early
from skeleton_lab.errors import UserError, run_command
from skeleton_lab.train.flags import device_index, positive

CPU_STEPS, GPU_STEPS = 3, 20
CPU_BUDGET_GB = 8.0


def parse() -> argparse.Namespace:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--model", "--models", nargs="+", choices=(*RECIPES, "all"), default=["all"], metavar="MODEL",
        help=f"any of {', '.join(RECIPES)} (default: all that are here)")
    add("--steps", type=positive, help=f"timed steps (default: {GPU_STEPS} on a GPU, {CPU_STEPS} on a CPU)")
    add("--device", type=device_index, default=0, help="cuda:0, a GPU number, or cpu (default: cuda:0, else the CPU)")
    add("--amp", action=argparse.BooleanOptionalAction, default=False, help="mixed precision (default: off)")
    add("--batch-size", type=positive, help="clips per step, in one pass (default: the recipe's; on a CPU a few)")
    add("--seq-len", type=positive, help="frames per clip (default: the recipe's); no verdict then")
    add("--vram-gb", type=gigabytes, help="GPU memory to stay within, in 10^9 bytes (default: what the GPU has free; "
        f"without a GPU {CPU_BUDGET_GB:g})")
    add("--find-batch-size", action="store_true", help="find the largest batch with --seq-len or --infer too")
    add("--infer", action="store_true", help="evaluation instead of training; no verdict then")
    add("--compile", action="store_true", help="time the model through torch.compile")
    add("--memory-friendly", action="store_true", help="recompute activations; a model that cannot is a failed row")
    add("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    add("--csv", type=Path, metavar="FILE", help="write all figures as CSV")
    arguments = parser.parse_args()
    if arguments.infer and arguments.memory_friendly:
        parser.error("--memory-friendly is about training: leave out one of --infer and --memory-friendly")
    return arguments


def gigabytes(text: str) -> float:
    """Read a positive number."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(f"expected a number above 0, not '{text}'")
    return number


if __name__ == "__main__":
    OPTIONS = read_early(parse)  # before the libraries load, which takes seconds

import torch
from tqdm import tqdm

from skeleton_lab.bench import tables
from skeleton_lab.bench.processes import is_here, run_job
from skeleton_lab.bench.verdict import Settings, assess
from skeleton_lab.files import write_text
from skeleton_lab.train.device import choose_device


def choose_recipes(names: list[str]) -> list[Recipe]:
    """Return the recipes asked for; "all" means those whose tree is here."""
    if "all" in names:
        return [recipe for recipe in RECIPES.values() if is_here(recipe.tree)]
    for name in names:
        if not is_here(RECIPES[name].tree):
            raise UserError(f"--model {name}: its folder {RECIPES[name].tree}/ is not here; leave the model out, or "
                            "run this in a checkout, or an image, that has it")
    return [RECIPES[name] for name in dict.fromkeys(names)]


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Turn the command line into what is asked of every model."""
    device = choose_device([arguments.device], print)
    on_cpu = device.type == "cpu"
    budget_gb = arguments.vram_gb or (CPU_BUDGET_GB if on_cpu else None)
    return Settings(
        str(device), arguments.steps or (CPU_STEPS if on_cpu else GPU_STEPS), arguments.batch_size, arguments.seq_len,
        amp=arguments.amp, infer=arguments.infer, compile=arguments.compile, memory_friendly=arguments.memory_friendly,
        find_batch_size=arguments.find_batch_size, budget_bytes=int(budget_gb * 1e9) if budget_gb else None)


def report(rows: list[dict[str, Any]], settings: Settings) -> None:
    """Print what was measured, how long recipes take, and whether they fit last."""
    print(f"\n{'Evaluation' if settings.infer else 'Training'} steps, measured here:\n{tables.measurements(rows)}")
    judged = [row for row in rows if "verdict" in row]
    if settings.find_batch_size and not judged:
        found = [("model", "largest batch"), *((row["model"], str(row["largest_batch"])) for row in rows
                                               if "largest_batch" in row)]
        print(f"\n{tables.aligned(found)}")
    if judged:
        for durations in filter(None, (tables.durations_here(rows), tables.durations_on_cards(rows))):
            print(f"\n{durations}")
        print("", *tables.notes(rows), "", tables.verdict_heading(rows, settings.amp), tables.verdicts(rows), sep="\n")


def main(arguments: argparse.Namespace) -> int:
    recipes, settings = choose_recipes(arguments.model), settings_of(arguments)
    rows = []
    with tqdm(recipes, unit=" models", leave=False, disable=None) as progress:
        for recipe in progress:
            progress.set_description(recipe.name)
            rows.append(assess(recipe, settings, run_job))
    report(rows, settings)
    about = {"python": platform.python_version(), "torch": torch.__version__, "device": settings.device}
    if arguments.json:
        write_text(arguments.json, tables.to_json(rows, about))
    if arguments.csv:
        write_text(arguments.csv, tables.to_csv(rows))
    return 0 if all(row["status"] == "ok" for row in rows) else 1


if __name__ == "__main__":
    run_command(main, OPTIONS)
