"""The models against their references, side by side: step and evaluation time, bytes kept, peak memory.

    python3 benchmarks/models.py                                # all models, float32 and bfloat16, on the CPU
    python3 benchmarks/models.py --models ctrgcn --clips 4 --frames 64 --pairs 5 --precisions fp32
    python3 benchmarks/models.py --device cuda --clips 64 --precisions fp32 fp16

A ratio is plain over fast, so more is better; medians of interleaved pairs. On a CPU times are CPU time of the
process, which other work on the machine disturbs less than the clock. On a GPU the fast variants are recorded as CUDA
graphs, as training does, and the plain one is launched kernel by kernel, as published code is. Each model runs in a
process of its own, and on a CPU so does each reading of the peak. Not a measure of feeding, nor of a whole training.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch
from torch import Tensor, nn

from skeleton_lab.bench.recipes import RECIPES
from skeleton_lab.train.cuda_graph import WARM_UP, RecordedPasses
from skeleton_lab.train.device import Precision, allow_tf32

MIB = 1 << 20
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
VARIANTS = ("plain", "fast", "friendly")


@dataclass(frozen=True)
class Entry:
    """A model: its tree, its dotted path and arguments there, and the frames of a clip."""

    tree: str
    model: str
    arguments: dict[str, object]
    frames: int = 64


NTU = "graph.ntu_rgb_d.Graph"
MODELS = {"ctrgcn": Entry("CTR-GCN", "model.ctrgcn.Model", {"graph": NTU}),
          "stgcn": Entry("ST-GCN", "model.stgcn.Model", {"graph": NTU}),
          "skateformer": Entry("SkateFormer", "model.skateformer.Model", dict(RECIPES["skateformer"].arguments)),
          "protogcn": Entry("ProtoGCN", "model.protogcn.Model", dict(RECIPES["protogcn"].arguments)),
          "hypergcn": Entry("Hyper-GCN", "model.hypergcn.Model", {"graph": NTU, "hyper_joints": 3}),
          "blockgcn": Entry("BlockGCN", "model.blockgcn.Model", {"graph": NTU}),
          "freqmixformer": Entry("FreqMixFormer", "model.freqmixformer.Model", {"graph": NTU}),
          "msg3d": Entry("MS-G3D", "model.msg3d.Model", {
              "num_class": 60, "num_point": 25, "num_person": 2, "num_gcn_scales": 13, "num_g3d_scales": 6,
              "graph": "graph.ntu_rgb_d.AdjMatrixGraph"})}


def resident_peak_mib() -> float:
    """Return this process's peak of resident memory, in MiB.

    `getrusage` would count the parent's peak too, which a child inherits.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM line")


class Bench:
    """One model in this process."""

    def __init__(self, entry: Entry, options: argparse.Namespace) -> None:
        sys.path.insert(0, str(ROOT / entry.tree))
        torch.manual_seed(0)
        torch.set_num_threads(options.threads)
        self.device = torch.device(options.device)
        allow_tf32(self.device)
        torch.backends.cudnn.deterministic = True  # as training does by default
        module, _, name = entry.model.rpartition(".")
        fast = getattr(importlib.import_module(module), name)(**entry.arguments)
        plain = fast.reference(**entry.arguments)
        plain.load_state_dict(fast.state_dict())
        self.plain, self.fast = plain.to(self.device), fast.to(self.device)
        frames = options.frames or entry.frames
        self.clips = torch.randn(options.clips, 3, frames, entry.arguments.get("num_point", 25), 2,
                                 device=self.device)
        self.targets = torch.arange(options.clips, device=self.device) % 60
        self.passes: dict[tuple[str, str, bool], RecordedPasses] = {}

    def variant(self, name: str) -> nn.Module:
        """Return plain, fast, or fast with block-level recomputation."""
        self.fast.set_memory_friendly(name == "friendly")
        return self.plain if name == "plain" else self.fast

    def autocast(self, precision: str) -> contextlib.AbstractContextManager:
        dtype = PRECISIONS[precision]
        return torch.autocast(self.device.type, dtype) if dtype else contextlib.nullcontext()

    def step(self, name: str, precision: str, record: bool = True) -> None:
        """Forward, loss, backward: a pass of training."""
        model = self.variant(name).train()
        key = (name, precision, record)
        if key not in self.passes:
            number_format = Precision(self.device.type, PRECISIONS[precision])
            self.passes[key] = RecordedPasses(model, self.device, number_format, number_format.scaler(), record)
        model.zero_grad(set_to_none=True)
        self.passes[key].run(self.clips, self.targets, 1)

    def evaluate(self, name: str, precision: str) -> None:
        """Forward in evaluation mode."""
        model = self.variant(name).eval()
        with torch.no_grad(), self.autocast(precision):
            model(self.clips)

    def time_ms(self, run: Callable[[str, str], None], name: str, precision: str) -> float:
        """Return milliseconds a clip: CPU time of this process, or the clock on a GPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            start = time.perf_counter()
            run(name, precision)
            torch.cuda.synchronize()
            return (time.perf_counter() - start) * 1000 / len(self.clips)
        start = time.process_time()
        run(name, precision)
        return (time.process_time() - start) * 1000 / len(self.clips)

    def kept_mib(self, name: str, precision: str) -> float:
        """Return MiB a clip that autograd keeps: each storage once, parameters and buffers left out."""
        model = self.variant(name).train()
        own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
        kept: dict[int, torch.UntypedStorage] = {}  # tensors with a history would keep the whole graph alive

        def pack(tensor: Tensor) -> Tensor:
            kept.setdefault(tensor.untyped_storage().data_ptr(), tensor.untyped_storage())
            return tensor.detach()

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), self.autocast(precision):
            logits = model(self.clips)
        total = sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in own)
        del logits
        return total / MIB / len(self.clips)

    def peak_mib(self, name: str, precision: str) -> float:
        """Return how far a step raises this process's (or the device's) peak, in MiB; once per process on a CPU."""
        if self.device.type == "cuda":
            self.step(name, precision, record=False)  # the libraries' workspaces stay
            self.variant(name).zero_grad(set_to_none=True)
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self.step(name, precision, record=False)
            return (torch.cuda.max_memory_allocated() - before) / MIB
        before = resident_peak_mib()
        self.step(name, precision)
        return resident_peak_mib() - before


def report(bench: Bench, name: str, precision: str, pairs: int, peaks: dict[str, float]) -> None:
    """Print one table: a line per variant."""
    rounds: list[dict[tuple[str, str], float]] = []
    bench.passes.clear()
    warm_up = 1 + (WARM_UP if bench.device.type == "cuda" else 0)  # of a recording
    for _ in range(warm_up + pairs):
        rounds.append({(kind, variant): bench.time_ms(run, variant, precision)
                       for kind, run in (("step", bench.step), ("eval", bench.evaluate)) for variant in VARIANTS})
    kept = {variant: bench.kept_mib(variant, precision) for variant in VARIANTS}
    n, _, t, v, m = bench.clips.shape
    print(f"\n{name}, {precision}, {bench.device}: {n} clips of {t} frames, {v} joints, {m} bodies; medians of {pairs}")
    print(f"{'':10}{'step_ms':>9}{'ratio':>7}{'eval_ms':>9}{'ratio':>7}{'kept_mib':>10}{'share':>7}{'peak_mib':>10}")
    for variant in VARIANTS:
        cells = []
        for kind in ("step", "eval"):
            ratios = [r[kind, "plain"] / r[kind, variant] for r in rounds[-pairs:]]
            cells += [statistics.median(r[kind, variant] for r in rounds[-pairs:]), statistics.median(ratios)]
        print(f"{variant:10}{cells[0]:9.1f}{cells[1]:7.2f}{cells[2]:9.1f}{cells[3]:7.2f}{kept[variant]:10.1f}"
              f"{kept[variant] / kept['plain']:7.3f}{peaks[variant]:10.0f}", flush=True)


def child(arguments: list[str]) -> str:
    """Run this script again with `arguments`; return what it prints."""
    return subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp32", "bf16"],
                        help="default: fp32 bf16")
    parser.add_argument("--clips", type=int, default=8, help="clips in a batch (default 8)")
    parser.add_argument("--frames", type=int, default=0, help="frames in a clip (default 64)")
    parser.add_argument("--pairs", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--peak-of", choices=VARIANTS, help=argparse.SUPPRESS)  # one reading, for a parent process
    parser.add_argument("--one-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        bench = Bench(MODELS[options.models[0]], options)
        print(bench.peak_mib(options.peak_of, options.precisions[0]))
        return
    shared = [f"--{key}={getattr(options, key)}" for key in ("clips", "frames", "pairs", "threads", "device")]
    if not options.one_process:
        for name in options.models:
            print(child([*shared, "--one-process", "--models", name, "--precisions", *options.precisions]), end="",
                  flush=True)
        return
    name = options.models[0]
    bench = Bench(MODELS[name], options)
    for precision in options.precisions:
        if bench.device.type == "cuda":
            peaks = {variant: bench.peak_mib(variant, precision) for variant in VARIANTS}
        else:
            peaks = {variant: float(child([*shared, "--peak-of", variant, "--models", name, "--precisions", precision]))
                     for variant in VARIANTS}
        report(bench, name, precision, options.pairs, peaks)


if __name__ == "__main__":
    main()
