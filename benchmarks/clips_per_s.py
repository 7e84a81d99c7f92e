"""Does the benchmark report the clips/s that a loop written by hand reaches?

    python3 benchmarks/clips_per_s.py --model ctrgcn

Both train the same model on the same number of random clips, taking turns in one process; the medians of the rounds
count. On a machine that other programs use, only their ratio means something.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from torch import nn

from skeleton_lab.bench.job import MEASURE, Job, set_up
from skeleton_lab.bench.measure import measure
from skeleton_lab.bench.recipes import RECIPES
from skeleton_lab.errors import run_command
from skeleton_lab.imports import load_object


def by_hand(model: nn.Module, device: torch.device, clips: torch.Tensor, steps: int) -> float:
    """Train `model` for `steps` steps after one more; return clips/s."""
    labels = torch.zeros(len(clips), dtype=torch.long, device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=4e-4)
    for step in range(steps + 1):
        if step == 1:
            if device.type == "cuda":
                torch.cuda.synchronize()
            start_s = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(clips), labels).backward()
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return steps * len(clips) / (time.perf_counter() - start_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(RECIPES), default="ctrgcn", help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=4, help="steps in each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: %(default)s)")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.model]
    os.chdir(ROOT / recipe.tree)
    sys.path.insert(0, os.getcwd())
    device = torch.device(arguments.device)
    batch = recipe.cpu_clips if device.type == "cpu" else recipe.forward_batch_size
    job = Job(MEASURE, recipe.name, arguments.device, recipe.num_frames, batch, batch, steps=arguments.steps)
    subject = set_up(job)
    model = load_object(recipe.model)(**recipe.arguments).to(device)
    clips = torch.randn(batch, 3, recipe.num_frames, 25, 2, device=device)
    reported, hand = [], []
    for turn in range(arguments.rounds):
        reported.append(measure(subject)["clips_per_s"])
        hand.append(by_hand(model, device, clips, arguments.steps))
        print(f"round {turn + 1}: benchmark {reported[-1]:.2f} clips/s, by hand {hand[-1]:.2f}", flush=True)
    print(f"{recipe.name}: benchmark / by hand = {statistics.median(reported) / statistics.median(hand):.3f} (medians)")


if __name__ == "__main__":
    run_command(main)
