"""What does the look at all gradients, in each step of training, cost?

    python3 benchmarks/finite.py --model stgcn
    python3 benchmarks/finite.py --model stgcn --device cuda --clips 16

The training loop's own steps take turns, a few at a time and in each order in turn: with the look, without, and without
once more. The median of the turns' ratios counts, of processor time on a CPU; that of the two turns without the look,
which should be 1, says what can be told on this machine, and so do the intervals (95 %, from the ratios' ranks). On a
machine that is busy with other things, the quickest quarters of the turns say more.
Results are fetched after each turn, oftener than a training does, which is against the look. Beside it stands what the
look takes by itself. On a GPU passes are recorded and replayed, as in a training.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import permutations
from math import comb
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch

from skeleton_lab.bench.recipes import RECIPES
from skeleton_lab.errors import run_command
from skeleton_lab.imports import load_object
from skeleton_lab.machine import describe_machine
from skeleton_lab.train.cuda_graph import RecordedPasses
from skeleton_lab.train.device import Precision
from skeleton_lab.train.distributed import World
from skeleton_lab.train.finite import GradientNorms
from skeleton_lab.train.loop import Compute, train_step


class NoLook(GradientNorms):
    """Looks at nothing."""

    def note(self) -> None:
        """Take no norms."""

    def complaints(self, world: World, steps: int) -> list[str]:
        """Complain of nothing."""
        return [""] * steps


def timed_ms(function: Callable[[], object], device: torch.device) -> float:
    """Return the milliseconds of a call; of the processor's, where that computes."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = clock()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (clock() - start)


def ratio_text(first: list[float], second: list[float]) -> str:
    """Return the median of the turns' ratios, and the interval in which the true one lies with 95 %."""
    ratios = sorted(one / other for one, other in zip(first, second, strict=True))
    count = len(ratios)
    # How many of `count` ratios lie below the true median is binomial, with the chance 1/2.
    below = [sum(comb(count, k) for k in range(rank + 1)) / 2 ** count for rank in range(count)]
    lowest = max(sum(share <= 0.025 for share in below) - 1, 0)
    return f"{statistics.median(ratios):.4f} ({ratios[lowest]:.4f} to {ratios[-1 - lowest]:.4f}; {count} turns)"


def quickest_text(first: list[float], second: list[float]) -> str:
    """Return the ratio of the quickest quarters: other programs only ever slow a step down."""
    quarter = max(1, len(first) // 4)
    one, other = (statistics.mean(sorted(times)[:quarter]) for times in (first, second))
    return f"{one / other:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(RECIPES), default="stgcn", help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=2, help="in a batch (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=0, help="of a clip (default: as the model's recipe says)")
    parser.add_argument("--steps", type=int, default=2, help="in each turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=30, help="at least 6 (default: %(default)s)")
    options = parser.parse_args()
    recipe = RECIPES[options.model]
    os.chdir(ROOT / recipe.tree)
    sys.path.insert(0, os.getcwd())
    device = torch.device(options.device)
    model = load_object(recipe.model)(**recipe.arguments).to(device).train()
    precision = Precision(device.type)
    passes = RecordedPasses(model, device, precision, precision.scaler())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True, weight_decay=4e-4)
    compute = Compute(device, precision, options.clips)
    clips = torch.randn(options.clips, 3, options.frames or recipe.num_frames, 25, 2, device=device)
    labels = torch.zeros(options.clips, dtype=torch.long)

    def steps(look: GradientNorms) -> None:
        results = [train_step(passes, clips, labels, optimizer, compute, look) for _ in range(options.steps)]
        torch.stack(results).cpu()
        look.complaints(compute.world, options.steps)

    def looks() -> None:
        for _ in range(options.steps):
            look.note()
        look.complaints(compute.world, options.steps)

    look, none = GradientNorms(model, passes.scaler), NoLook(model, passes.scaler)
    train_step(passes, clips, labels, optimizer, compute, none)
    steps(look)  # libraries set themselves up, and a pass is recorded
    with_ms, without_ms, again_ms, alone_ms = [], [], [], []
    kinds = [(with_ms, look), (without_ms, none), (again_ms, none)]
    for turn in range(options.turns):
        for times, which in list(permutations(kinds))[turn % 6]:
            times.append(timed_ms(lambda which=which: steps(which), device) / options.steps)
        alone_ms.append(timed_ms(looks, device) / options.steps)
    machine = describe_machine(device)
    print(f"{options.model}, {options.clips} clips, {machine['gpu'] or machine['cpu']}, PyTorch {machine['torch']}: "
          f"step {statistics.median(without_ms):.2f} ms, the look alone {statistics.median(alone_ms):.3f} ms "
          f"({100 * statistics.median(alone_ms) / statistics.median(without_ms):.2f} % of it)")
    for what, first, second in (("with the look / without", with_ms, without_ms),
                                ("without / without again", without_ms, again_ms)):
        print(f"step {what}: {ratio_text(first, second)}; quickest quarters {quickest_text(first, second)}")


if __name__ == "__main__":
    run_command(main)
