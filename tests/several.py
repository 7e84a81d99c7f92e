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

from skeleton_lab.entry.tree import run
from skeleton_lab.errors import run_command
from skeleton_lab.nn.model import auxiliary_loss_of
from skeleton_lab.nn.norm import with_synchronised_norms
from skeleton_lab.nn.synchrony import synchronise
from skeleton_lab.train.distributed import World, accumulating, joined
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

    BatchNorm is in evaluation mode. A model's auxiliary loss is added. It computes in the precision of the clips.
    """
    world = World.from_environment()
    with open_tree(tree_name) as tree, joined(world):
        torch.manual_seed(0)
        network = tree.load(model)(**model_args).to(torch.from_numpy(clips).dtype)
        with torch.no_grad():  # a fresh model has gates at zero, which would hide gradients
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        wrapped = world.wrap(network, torch.device("cpu")).eval()
        labels = torch.arange(len(clips)) % model_args["num_class"]
        own = slice(*(world.share(len(clips), "clips") * edge for edge in (world.rank, world.rank + 1)))
        parts = list(zip(torch.from_numpy(clips[own]).chunk(chunks), labels[own].chunk(chunks), strict=True))
        for number, (some, targets) in enumerate(parts, start=1):
            with nullcontext() if number == chunks else accumulating(wrapped):
                logits = wrapped(some)
                loss = functional.cross_entropy(logits, targets)
                auxiliary = auxiliary_loss_of(wrapped, logits, targets)
                ((loss if auxiliary is None else loss + auxiliary) / chunks).backward()
        return {name: parameter.grad.numpy() for name, parameter in network.named_parameters()
                if parameter.requires_grad}


def synchronised(tree_name: str, model: str, model_args: Mapping[str, Any], clips: NDArray[np.float64],
                 memory_friendly: bool) -> dict[str, NDArray[np.float64]]:
    """Return the gradients of the mean loss over `clips`, and then the running moments, BatchNorm in training mode.

    In double precision, without dropout, with an auxiliary loss if the model has one; several processes take their
    shares and synchronise their moments.
    """
    world = World.from_environment()
    with open_tree(tree_name) as tree, joined(world):
        torch.manual_seed(0)
        network = tree.load(model)(**model_args).double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        if world.size > 1:
            synchronise(world.size)
            network = with_synchronised_norms(network)
        if memory_friendly:
            network.set_memory_friendly(True)
        for part in network.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        labels = torch.arange(len(clips)) % model_args["num_class"]
        own = slice(*(world.share(len(clips), "clips") * edge for edge in (world.rank, world.rank + 1)))
        wrapped = world.wrap(network, torch.device("cpu"))
        logits = wrapped(torch.from_numpy(clips[own]))
        auxiliary = auxiliary_loss_of(wrapped, logits, labels[own])
        loss = functional.cross_entropy(logits, labels[own])
        (loss if auxiliary is None else loss + auxiliary).backward()
        found = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.requires_grad}
        return {name: tensor.numpy() for name, tensor in (found | dict(network.named_buffers())).items()}


def assert_synchronised(tree: str, model: str, model_args: Mapping[str, Any], clips: NDArray[np.float64],
                        memory_friendly: bool = False) -> None:
    """Two processes that synchronise have one process's gradients and running moments, but for rounding."""
    [alone] = run_ranks(1, synchronised, tree, model, model_args, clips, memory_friendly)
    for results in run_ranks(2, synchronised, tree, model, model_args, clips, memory_friendly):
        assert list(results) == list(alone)
        scale = max(np.abs(alone[name]).max() for name in alone if "running" not in name)
        for name, values in results.items():
            tolerance = 1e-9 if "running" in name else 1e-9 * scale
            np.testing.assert_allclose(values, alone[name], rtol=1e-9, atol=tolerance, err_msg=name)


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
