"""What is an exported model worth on a CPU? Speed, logits and accuracy of each way to run it, side by side in one run.

    python3 benchmarks/export.py --run demo/joint
    python3 benchmarks/export.py --run demo/joint --threads 2 --json export.json

Takes a trained run and its own test clips. The ways: this lab's model in fp32, and in bf16 (autocast); its ONNX file in
fp32, in int8 with convolutions quantised, and with products too (static quantisation, ranges from training clips).
Speeds are ratios to the first way, timed in turns. Needs requirements-export.txt; not for GPUs.
"""

from __future__ import annotations

import argparse
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

from skeleton_lab.errors import run_command
from skeleton_lab.export.export import TOLERANCE, example_for, export
from skeleton_lab.export.formats import ONNX, Run, open_file, require
from skeleton_lab.export.int8 import CONVOLUTIONS, PRODUCTS, quantize
from skeleton_lab.files import write_text
from skeleton_lab.imports import construct
from skeleton_lab.train.batches import Request, SeededFetch
from skeleton_lab.train.trained import Trained, open_chosen
from skeleton_lab.train.which import add_options


def main() -> None:
    options = read_options()
    require(ONNX)
    torch.set_num_threads(options.threads)
    trained = open_chosen(options)
    clips, labels = load_clips(trained, "test_feeder_args", options.clips)
    calibration, _ = load_clips(trained, "train_feeder_args", options.calibration_clips)
    with tempfile.TemporaryDirectory(prefix="skeleton-lab-") as folder:
        ways = make_ways(trained, batches(calibration, options.batch_size), Path(folder), options.threads)
        rows = compare(ways, batches(clips, options.batch_size), labels, options.rounds)
    print(f"{trained.config.model}, {len(clips)} clips of {clips.shape[2]} frames in batches of {options.batch_size}, "
          f"{options.threads} thread(s), PyTorch {torch.__version__}")
    print(f"{'way':<24} {'clips/s ratio':>13} {'largest logit difference':>25} {'top-1':>8}")
    for row in rows:
        print(f"{row['way']:<24} {row['speed_ratio']:>13.2f} {row['logit_difference']:>25.1e} {row['top1']:>7.2f}%")
    print(f"{'(largest logit)':<38} {rows[0]['largest_logit']:>25.1f}")
    if options.json:
        write_text(options.json, json.dumps(rows, indent=1) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--clips", type=int, default=200, help="test clips, the first ones (default: %(default)s)")
    parser.add_argument("--calibration-clips", type=int, default=64, help="training clips that int8 ranges come from "
                        "(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=8, help="clips of a forward pass (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and onnxruntime (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="times each way runs; the median counts (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    return parser.parse_args()


def load_clips(trained: Trained, key: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first clips of a split (N, C, T, V, M) float32 and their classes (N,)."""
    feeder = construct(trained.config.feeder, getattr(trained.config, key), key)
    indices = list(range(min(most, len(feeder))))
    data, labels, _ = SeededFetch(feeder).__getitems__(Request((trained.config.seed, 0, 0, 0), indices))
    return np.ascontiguousarray(data.numpy()), labels.numpy()


def batches(clips: np.ndarray, size: int) -> list[np.ndarray]:
    return [clips[start:start + size] for start in range(0, len(clips), size)]


def make_ways(trained: Trained, calibration: list[np.ndarray], folder: Path, threads: int) -> dict[str, Run]:
    """Return name -> function from clips to logits."""
    exported = folder / "fp32.onnx"
    export(trained, example_for(trained, calibration[0].shape[2]), ONNX, exported)
    ways = {"PyTorch fp32": in_torch(trained, None), "PyTorch bf16": in_torch(trained, torch.bfloat16),
            "ONNX fp32": open_file(exported, ONNX, threads)}
    for name, kinds in (("ONNX int8, conv", CONVOLUTIONS), ("ONNX int8, conv+matmul", PRODUCTS)):
        target = folder / f"int8_{len(kinds)}.onnx"
        quantize(exported, target, calibration, kinds)
        ways[name] = open_file(target, ONNX, threads)
    return ways


def in_torch(trained: Trained, dtype: torch.dtype | None) -> Run:
    """Return the lab's own model as a function, under autocast to `dtype` if that is given."""
    def run(clips: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype is not None):
            return trained.model(torch.from_numpy(clips)).float().numpy()

    return run


def compare(ways: dict[str, Run], clips: list[np.ndarray], labels: np.ndarray, rounds: int) -> list[dict]:
    """Run all ways over all batches, taking turns; return a row for each."""
    logits = {name: np.concatenate([run(batch) for batch in clips]) for name, run in ways.items()}  # a warm-up, too
    times_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            times_s[name].append(timed(run, clips))
    (first, reference), *_ = logits.items()
    ratios = {name: statistics.median(own / other for own, other in zip(times_s[first], times_s[name], strict=True))
              for name in ways}
    return [{"way": name, "speed_ratio": ratios[name], "top1": 100 * float((found.argmax(1) == labels).mean()),
             "logit_difference": float(np.abs(found - reference).max()),
             "largest_logit": float(np.abs(reference).max()), "tolerance": TOLERANCE}
            for name, found in logits.items()]


def timed(run: Callable[[np.ndarray], np.ndarray], clips: list[np.ndarray]) -> float:
    start = time.perf_counter()
    for batch in clips:
        run(batch)
    return time.perf_counter() - start


if __name__ == "__main__":
    run_command(main)
