"""What torch.compile gives on this machine: the time of a training step, and how far gradients are from eager ones.

    python3 benchmarks/compiling.py                             # minutes, most of them the compilers'
    python3 benchmarks/compiling.py --subjects unit             # seconds: the max-pool's gradient under inductor

`reference` is ST-GCN++ of standard operators, as `--compile` compiles it, beside the same model as it is and the fast
form; `block` is one of its ten blocks. `unit` is a temporal unit of the fast models, whose operators `--compile` leaves
alone, compiled all the same.
Times are CPU time of this process; gradients are compared with double precision, in the largest difference and as a
vector, both relative.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "ST-GCN")]

import torch
from torch import Tensor, nn

from skeleton_lab.nn.layers import MultiScaleTemporalConv
from skeleton_lab.train.compiling import Compiler, compile_in_place

COMPILERS: dict[str, Compiler | None] = {"inductor": None, "eager": lambda graph, inputs: graph.forward}
SPREAD = 0.02  # added to all weights: some are zero at the start, and would hide gradients


def reference(options: argparse.Namespace, compiler: Compiler | None) -> tuple[dict[str, nn.Module], Tensor]:
    """ST-GCN++: the reference in double precision, as it is and compiled, and the fast form."""
    from model.stgcn import Model

    fast = Model(graph="graph.ntu_rgb_d.Graph")
    spread(fast)
    forms = {name: fast.reference(graph="graph.ntu_rgb_d.Graph") for name in ("double", "eager", "compiled")}
    for form in forms.values():
        form.load_state_dict(fast.state_dict())
    compile_in_place(forms["compiled"], fail, compiler)
    return {**forms, "fast": fast}, torch.randn(options.clips, 3, options.frames, 25, 2)


def block(options: argparse.Namespace, compiler: Compiler | None) -> tuple[dict[str, nn.Module], Tensor]:
    """One of the reference's ten blocks: 64 channels of 25 joints, two bodies a clip."""
    from model.reference import Model

    eager = Model(graph="graph.ntu_rgb_d.Graph").l2
    spread(eager)
    forms: dict[str, nn.Module] = {"double": copy.deepcopy(eager), "eager": eager, "compiled": copy.deepcopy(eager)}
    compile_in_place(forms["compiled"], fail, compiler)
    return forms, torch.randn(2 * options.clips, 64, options.frames, 25)


def unit(options: argparse.Namespace, compiler: Compiler | None) -> tuple[dict[str, nn.Module], Tensor]:
    """A temporal unit with operators of its own, strided, one convolution and the max-pool beside the plain branch."""
    eager = MultiScaleTemporalConv(4, 12, kernel_size=3, dilations=(1,), stride=2, residual=False, activation=True)
    spread(eager)
    forms: dict[str, nn.Module] = {"double": copy.deepcopy(eager), "eager": eager, "compiled": copy.deepcopy(eager)}
    forms["compiled"].forward = torch.compile(forms["compiled"].forward, backend=compiler or "inductor")
    return forms, torch.randn(options.clips, 4, options.frames, 5)


SUBJECTS = {"unit": unit, "block": block, "reference": reference}


def spread(model: nn.Module) -> None:
    """Add a little noise to all weights."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(SPREAD * torch.randn_like(parameter))


def fail(line: str) -> None:
    """Stop where a model cannot be compiled."""
    raise SystemExit(line)


def gradients(model: nn.Module, batch: Tensor) -> Tensor:
    """Take a pass of training; return the gradients of all parameters, one after the other, in double precision."""
    model.train().zero_grad(set_to_none=True)
    model(batch).sin().mean().backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).double()


def seconds(run: Callable[[], object]) -> float:
    """Return the CPU time of this process that `run` takes."""
    start = time.process_time()
    run()
    return time.process_time() - start


def report(name: str, forms: dict[str, nn.Module], batch: Tensor, pairs: int) -> None:
    """Print a line for each form."""
    exact = gradients(forms.pop("double").double(), batch.double())
    print(f"{name}: {tuple(batch.shape)}, {torch.get_num_threads()} thread, {torch.backends.cpu.get_cpu_capability()}, "
          f"PyTorch {torch.__version__}; medians of {pairs}")
    for form, model in forms.items():
        off = gradients(model, batch) - exact
        print(f"  {form:9} gradients off by {off.abs().max() / exact.abs().max():.1e}, {off.norm() / exact.norm():.1e}",
              flush=True)
    times = [{form: seconds(lambda: gradients(model, batch)) for form, model in forms.items()}  # noqa: B023
             for _ in range(pairs)]
    for form in forms:
        ratio = statistics.median(turn["eager"] / turn[form] for turn in times)
        step_ms = statistics.median(turn[form] for turn in times) * 1000
        print(f"  {form:9} step {step_ms:.1f} ms, eager over it {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), help="default: all")
    parser.add_argument("--clips", type=int, default=2, help="clips in a batch (default 2)")
    parser.add_argument("--frames", type=int, default=32, help="frames in a clip (default 32)")
    parser.add_argument("--pairs", type=int, default=7, help="timed rounds (default 7)")
    parser.add_argument("--compiler", choices=COMPILERS, default="inductor", help="eager follows the model only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.subjects:
        torch.manual_seed(0)
        forms, batch = SUBJECTS[name](options, COMPILERS[options.compiler])
        report(name, forms, batch, options.pairs)


if __name__ == "__main__":
    main()
