"""MS-G3D against its plain formulation, side by side in one run: time of a step and of evaluation, bytes kept.

    python benchmarks/msg3d.py --clips 4 --frames 64 --pairs 5

Prints the median of the pairs' ratios (plain / fast) and their range, in CPU time of this process, so that other work
on the machine disturbs it less. Not a measure of a GPU, nor of training with a feeder.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "MS-G3D"), str(ROOT)]

import torch
import torch.nn.functional as F
from graph.ntu_rgb_d import AdjMatrixGraph
from model.msg3d import Model
from torch import Tensor, nn

from tests.plain_msg3d import PlainMsg3d

MIB = 1 << 20


def step(model: nn.Module, clips: Tensor, amp: bool) -> None:
    """One training step without the optimiser's part."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        logits = model(clips)
    F.cross_entropy(logits.float(), torch.arange(len(clips)) % logits.shape[1]).backward()


def kept_bytes(model: nn.Module, clips: Tensor) -> int:
    """Return the bytes autograd keeps for the backward pass: each storage once, parameters and buffers left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model(clips)
    total = sum(tensor.untyped_storage().nbytes() for pointer, tensor in kept.items() if pointer not in own)
    del logits
    return total


def compare(name: str, plain: Callable[[], object], fast: Callable[[], object], pairs: int) -> None:
    """Time both in turn and print one line."""
    times: list[tuple[float, float]] = []
    for _ in range(pairs + 1):
        start = time.process_time()
        plain()
        middle = time.process_time()
        fast()
        times.append((middle - start, time.process_time() - middle))
    times = times[1:]  # the first pair warms up
    ratios = sorted(p / f for p, f in times)
    plain_ms, fast_ms = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    print(f"{name:24} plain_ms {plain_ms:8.0f}  fast_ms {fast_ms:8.0f}  ratio {statistics.median(ratios):.2f} "
          f"({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4, help="clips in a batch (default 4)")
    parser.add_argument("--frames", type=int, default=64, help="frames in a clip (default 64)")
    parser.add_argument("--pairs", type=int, default=5, help="timed pairs; 0 measures bytes only (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--half", action="store_true", help="bfloat16 by autocast")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    plain = PlainMsg3d(60, 2, 13, 6, AdjMatrixGraph().A_binary)
    fast = Model(60, 25, 2, 13, 6, "graph.ntu_rgb_d.AdjMatrixGraph")
    fast.load_state_dict(plain.state_dict())
    clips = torch.randn(options.clips, 3, options.frames, 25, 2)
    plain_bytes = kept_bytes(plain, clips[:1])
    for friendly, name in ((False, "default"), (True, "--memory-friendly")):
        fast.set_memory_friendly(friendly)
        kept = kept_bytes(fast, clips[:1])
        print(f"kept a clip, {name:18} plain_mib {plain_bytes / MIB:.0f}  fast_mib {kept / MIB:.0f}  "
              f"share {kept / plain_bytes:.3f}")
    if not options.pairs:
        return
    for friendly, name in ((False, "step"), (True, "step --memory-friendly")):
        fast.set_memory_friendly(friendly)
        compare(name, lambda: step(plain, clips, options.half), lambda: step(fast, clips, options.half), options.pairs)
    plain.eval()
    fast.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=options.half):
        compare("evaluation", lambda: plain(clips), lambda: fast(clips), options.pairs)


if __name__ == "__main__":
    main()
