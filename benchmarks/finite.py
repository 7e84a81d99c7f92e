"""What does the look at all gradients, in each step of training, cost?

    python3 benchmarks/finite.py --model stgcn
    python3 benchmarks/finite.py --model stgcn --device cuda --clips 16

The training loop's own steps, with the look and without, take turns, 20 steps at a time, as the loop fetches its losses
after so many; the median of the turns' ratios counts. Beside it stands what the look takes by itself, which is the
clearer figure where other programs use the machine. On a GPU passes are recorded and replayed, as in a training.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(RECIPES), default="stgcn", help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=2, help="in a batch (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=0, help="of a clip (default: as the model's recipe says)")
    parser.add_argument("--steps", type=int, default=20, help="in each turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="(default: %(default)s)")
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
    with_ms, without_ms, alone_ms = [], [], []
    for turn in range(options.turns):
        pair = [(with_ms, look), (without_ms, none)]
        for times, which in pair if turn % 2 else pair[::-1]:
            times.append(timed_ms(lambda which=which: steps(which), device) / options.steps)
        alone_ms.append(timed_ms(looks, device) / options.steps)
    machine = describe_machine(device)
    print(f"{options.model}, {options.clips} clips, {machine['gpu'] or machine['cpu']}, PyTorch {machine['torch']}: "
          f"step {statistics.median(without_ms):.2f} ms, the look alone {statistics.median(alone_ms):.3f} ms "
          f"({100 * statistics.median(alone_ms) / statistics.median(without_ms):.2f} % of it)")
    ratio = statistics.median(first / second for first, second in zip(with_ms, without_ms, strict=True))
    print(f"step with the look / without = {ratio:.4f} (median of {options.turns} turns)")


if __name__ == "__main__":
    run_command(main)
