"""What does one clip cost on this processor? A bundled model by PyTorch and by the other runtimes, in one run.

    python3 benchmarks/runtimes.py --model ctrgcn
    python3 benchmarks/runtimes.py --model stgcn --clips 16 --turns 9 --json runtimes.json

Fresh weights, clips as long as the recipe's. Ways take turns; a way's time is its processor time (so that other work on
the machine hardly matters), with one thread unless --threads says otherwise; ratios are of medians. `reference` is the
model's equations in standard operators. Needs requirements-export.txt; OpenVINO is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch

from skeleton_lab.bench.recipes import RECIPES
from skeleton_lab.errors import run_command
from skeleton_lab.export.export import export
from skeleton_lab.export.formats import ONNX, Example, open_file, require
from skeleton_lab.export.reference import inference_form
from skeleton_lab.export.runtime import open_openvino
from skeleton_lab.files import write_text
from skeleton_lab.imports import load_object
from skeleton_lab.machine import describe_machine
from skeleton_lab.nn.model import further_inputs_of
from skeleton_lab.train.config import read_config
from skeleton_lab.train.spec import TreeSpec
from skeleton_lab.train.trained import Trained

Way = Callable[[], object]


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(RECIPES), default="ctrgcn")
    parser.add_argument("--clips", type=int, default=1, help="clips of a forward pass (default: %(default)s)")
    parser.add_argument("--frames", type=int, metavar="T", help="frames of a clip (default: the recipe's)")
    parser.add_argument("--threads", type=int, default=1, help="of every way (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=7, help="times each way runs; the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    require(ONNX)
    torch.set_num_threads(options.threads)
    recipe = RECIPES[options.model]
    sys.path.insert(0, str(ROOT / recipe.tree))
    torch.manual_seed(0)
    model = load_object(recipe.model)(**recipe.arguments).eval()
    frames = options.frames or recipe.num_frames
    example = Example(3, frames, 25, 2, further=further_inputs_of(model))
    with tempfile.TemporaryDirectory(prefix="skeleton-lab-") as folder, torch.inference_mode():
        ways = make_ways(model, recipe, example, options, Path(folder))
        times = take_turns(ways, options.turns)
    machine = describe_machine(torch.device("cpu"))
    print(f"{options.model}, {options.clips} clip(s) of {frames} frames, {options.threads} thread(s), "
          f"{machine['cpu']}, PyTorch {machine['torch']}")
    rows = [{"way": name, "clip_ms": 1000 * times[name] / options.clips, "ratio": times["torch"] / times[name]}
            for name in ways]
    print(f"{'way':<14} {'ms a clip':>10} {'speed':>7}")
    for row in rows:
        print(f"{row['way']:<14} {row['clip_ms']:>10.1f} {row['ratio']:>7.2f}")
    if options.json:
        write_text(options.json, json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


def make_ways(model: torch.nn.Module, recipe, example: Example, options: argparse.Namespace,
              folder: Path) -> dict[str, Way]:
    """Return what computes a batch, by name; the exported file is checked as it is made."""
    config = read_config(TreeSpec(root=ROOT / recipe.tree), ["--model", recipe.model])
    config.model_args = dict(recipe.arguments)
    torch.save(model.state_dict(), folder / "best.pt")
    file = folder / "best.onnx"
    with torch.inference_mode(False):
        export(Trained(model, config, TreeSpec(root=ROOT / recipe.tree), folder / "best.pt"), example, ONNX, file)
        reference = inference_form(model, recipe.arguments)
    inputs = example.inputs(options.clips)
    arrays = tuple(np.ascontiguousarray(tensor.numpy()) for tensor in inputs)
    session = open_file(file, ONNX, options.threads)
    ways: dict[str, Way] = {"torch": lambda: model(*inputs), "reference": lambda: reference(*inputs),
                            "onnxruntime": lambda: session(*arrays)}
    if importlib.util.find_spec("openvino") is not None:
        compiled = open_openvino(file)
        ways["openvino"] = lambda: compiled(*arrays)
    return ways


def take_turns(ways: dict[str, Way], turns: int) -> dict[str, float]:
    """Return the median processor time (s) of each way."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if turn:  # the first is to warm up
                spent[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in spent.items()}


if __name__ == "__main__":
    run_command(main)
