"""The trees in several processes: their command lines, and the gradients of their models."""

from __future__ import annotations

import os
import runpy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from skeleton_lab.errors import run_command
from skeleton_lab.train.distributed import World, accumulating, joined
from skeleton_lab.train.run import run
from tests.ranks import run_ranks
from tests.trees import ROOT, open_tree


def run_main(tree: str, folder: Path, argv: Sequence[str]) -> SimpleNamespace:
    """Run a tree's command line in this process, in `folder`; return its status, out and err."""
    out, err, status, before = StringIO(), StringIO(), None, Path.cwd()
    with open_tree(tree), redirect_stdout(out), redirect_stderr(err):
        spec = runpy.run_path(str(ROOT / tree / "main.py"))["SPEC"]
        os.chdir(folder)
        try:
            run_command(lambda: run(spec, list(argv)))
        except SystemExit as ended:
            status = ended.code
        finally:
            os.chdir(before)
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


def gradients(tree_name: str, model: str, model_args: Mapping[str, Any], clips: NDArray[np.float32],
              chunks: int) -> dict[str, NDArray[np.float32]]:
    """Return this process's gradients of the mean loss over `clips`, of which it takes its share, in `chunks` passes.

    BatchNorm is in evaluation mode.
    """
    world = World.from_environment()
    with open_tree(tree_name) as tree, joined(world):
        torch.manual_seed(0)
        network = tree.load(model)(**model_args)
        with torch.no_grad():  # a fresh model has gates at zero, which would hide gradients
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        wrapped = world.wrap(network, torch.device("cpu")).eval()
        labels = torch.arange(len(clips)) % model_args["num_class"]
        own = slice(*(world.share(len(clips), "clips") * edge for edge in (world.rank, world.rank + 1)))
        parts = list(zip(torch.from_numpy(clips[own]).chunk(chunks), labels[own].chunk(chunks), strict=True))
        for number, (some, targets) in enumerate(parts, start=1):
            with nullcontext() if number == chunks else accumulating(wrapped):
                (functional.cross_entropy(wrapped(some), targets) / chunks).backward()
        return {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}


def largest_difference(tree: str, model: str, model_args: Mapping[str, Any], clips: NDArray[np.float32],
                       chunks: int) -> float:
    """Return how far two processes' gradients are from one process's, as a share of the largest gradient."""
    [alone] = run_ranks(1, gradients, tree, model, model_args, clips, 1)
    both = run_ranks(2, gradients, tree, model, model_args, clips, chunks)
    scale = max(np.abs(gradient).max() for gradient in alone.values())
    assert scale > 0
    found = max(np.abs(grads[name] - alone[name]).max() for grads in both for name in alone) / scale
    print(f"largest difference: {found:.2e} of the largest gradient, {scale:.3g}")
    return float(found)
