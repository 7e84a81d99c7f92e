"""How much faster is a model than in another checkout of the lab? Training step and evaluation, side by side.

    python3 benchmarks/checkouts.py ../older-checkout --model ctrgcn --clips 1
    python3 benchmarks/checkouts.py ../older-checkout --model msg3d --clips 2 --absent 1

Each checkout computes in a process of its own; they take turns. Milliseconds of processor time a clip, medians, and the
median of the ratios, other over this. Fresh weights of one seed, random clips; `plain` is this checkout's equations.
`--absent 1` leaves out the second body of each clip, as in most recordings.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NTU = "graph.ntu_rgb_d.Graph"
MODELS = {"ctrgcn": ("CTR-GCN", "model.ctrgcn", {"graph": NTU}), "stgcn": ("ST-GCN", "model.stgcn", {"graph": NTU}),
          "msg3d": ("MS-G3D", "model.msg3d", {"num_class": 60, "num_point": 25, "num_person": 2, "num_gcn_scales": 13,
                                              "num_g3d_scales": 6, "graph": "graph.ntu_rgb_d.AdjMatrixGraph"})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--model", choices=MODELS, default="ctrgcn")
    parser.add_argument("--kinds", nargs="+", choices=["step", "eval"], default=["step", "eval"])
    parser.add_argument("--clips", type=int, default=8, help="clips in a batch (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=64, help="frames in a clip (default: %(default)s)")
    parser.add_argument("--absent", type=int, choices=[0, 1], default=0, help="bodies of a clip that are zeros")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=5, help="timed turns (default: %(default)s)")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)  # a checkout's folder, a module
    options = parser.parse_args()
    if options.serve:
        serve(options, Path(options.serve[0]), options.serve[1])
        return
    module = MODELS[options.model][1]
    ways = {"plain": start(ROOT, "model.reference"), "this": start(ROOT, module),
            "other": start(options.other.resolve(), module)}
    print(f"{options.model}, {options.clips} clips of {options.frames} frames, {options.threads} thread(s), medians of "
          f"{options.pairs}: ms a clip, ratio to this checkout's model")
    for kind in options.kinds:
        turns = [{name: ask(way, kind) for name, way in ways.items()} for _ in range(options.pairs + 1)][1:]
        print(kind, "  ".join(f"{name} {statistics.median(turn[name] for turn in turns):.1f} "
                              f"({statistics.median(turn[name] / turn['this'] for turn in turns):.2f})"
                              for name in ways), flush=True)
    for way in ways.values():
        way.communicate()


def start(checkout: Path, module: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--serve", str(checkout), module], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def ask(way: subprocess.Popen[str], kind: str) -> float:
    assert way.stdin is not None and way.stdout is not None
    print(kind, file=way.stdin, flush=True)
    return float(json.loads(way.stdout.readline()))


def serve(options: argparse.Namespace, checkout: Path, module: str) -> None:
    """Answer each line on the input, "step" or "eval", by the processor time of one, in ms a clip."""
    tree, _, arguments = MODELS[options.model]
    sys.path[:0] = [str(checkout), str(checkout / tree)]
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = importlib.import_module(module).Model(**arguments)
    clips = torch.randn(options.clips, 3, options.frames, 25, 2)
    clips[..., 2 - options.absent:] = 0
    labels = torch.arange(options.clips) % 60
    for line in sys.stdin:
        training = line.strip() == "step"
        model.train(training).zero_grad(set_to_none=True)
        begin = time.process_time()
        with torch.set_grad_enabled(training):
            logits = model(clips)
            if training:
                torch.nn.functional.cross_entropy(logits, labels).backward()
        print((time.process_time() - begin) * 1000 / options.clips, flush=True)


if __name__ == "__main__":
    main()
