"""Golden figures of the published models, and the rules that fill a model and its input to reproduce them.

`golden/<name>.json` holds the constructor arguments, the input and the state dict's names and shapes in order;
`golden/<name>.npz` the figures, in float64: `eval_logits`, `train_logits`, `loss` (cross-entropy with targets 0, 1, 2,
...), `grad_names` and `grad_norms`, `data_bn_running_mean`, the state's first running mean after that pass, `params`,
and `sgd_losses` (five steps).
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skeleton_lab.export.reference import inference_form

GOLDEN = Path(__file__).resolve().parent / "golden"
SGD_OPTIONS = {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 4e-4}
FIRST_SGD_SEED = 100
# The gradient of a bias in front of a batch norm is zero but for rounding: norms are compared down to this share of
# the largest.
GRAD_NORM_FLOOR = 1e-7
# FreqMixFormer sums over frames and joints in front of these norms.
LARGE = {"tem_mixf.branches.3.0.bn.running_var": 1000, "spa_mixf.bn.running_var": 10}


@dataclass(frozen=True)
class Golden:
    """One golden model: what its .json says, its .npz's arrays in `figures`, and the device to compute on."""

    name: str
    model: str
    model_args: dict[str, Any]
    input_shape: tuple[int, ...]
    input_seed: int
    state_shapes: dict[str, tuple[int, ...]]
    figures: dict[str, np.ndarray]
    device: str = "cpu"

    def clips(self, seed: int | None = None) -> Tensor:
        """Return the golden input, (N, C, T, V, M) float64."""
        rng = np.random.default_rng(self.input_seed if seed is None else seed)
        return torch.from_numpy(rng.standard_normal(self.input_shape)).to(self.device)

    @property
    def targets(self) -> Tensor:
        """Classes 0, 1, 2, ..., (N,) int64."""
        return torch.arange(self.input_shape[0], device=self.device)


def load_golden(name: str, device: str = "cpu") -> Golden:
    """Read `golden/<name>.json` and `.npz`, to be computed on `device`."""
    about = json.loads((GOLDEN / f"{name}.json").read_text())
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as archive:
        figures = {key: archive[key] for key in archive.files}
    return Golden(name, about["model"], about["model_args"], tuple(about["input_shape"]), about["input_seed"],
                  {key: tuple(shape) for key, shape in about["state_dict"].items()}, figures, device)


def _golden_tensor(key: str, built: Tensor) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    shape, part = tuple(built.shape), key.rpartition(".")[2]
    if part == "num_batches_tracked":
        return np.zeros(shape)
    if not built.is_floating_point():
        return built.numpy()
    if part == "running_var":
        return rng.uniform(0.5, 1.5, shape) * next((scale for end, scale in LARGE.items() if key.endswith(end)), 1)
    if part == "running_mean":
        return 0.1 * rng.standard_normal(shape)
    if part == "PA":
        return built.double().numpy() + 0.02 * rng.standard_normal(shape)
    if part == "A_res":
        return 0.02 * rng.standard_normal(shape)
    if part == "sharpness":
        return 3 + 0.1 * rng.standard_normal(shape)
    if part == "alpha":
        return np.full(shape, 0.3)
    if part == "bias":
        return 0.1 * rng.standard_normal(shape)
    if len(shape) == 1:
        return rng.uniform(0.5, 1.5, shape)
    return rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))


def golden_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the golden weights for a freshly built model: its keys in its order, float64.

    `PA` is the value it has now plus noise.
    """
    state = model.state_dict()
    return {key: torch.as_tensor(_golden_tensor(key, built.detach().cpu())) for key, built in state.items()}


def fill_golden(model: nn.Module) -> nn.Module:
    """Give a freshly built model the golden weights, in place, in its own dtype; return it."""
    model.load_state_dict(golden_state(model))
    return model


def sgd_losses(model: nn.Module, golden: Golden, steps: int = 5,
               criterion: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy) -> list[float]:
    """Train a once filled float64 `model` for a few steps; return the loss, of logits and targets, before each.

    The figures were taken after filling the same model a second time, which adds the noise of `PA` a second time.
    """
    fill_golden(model)
    optimizer = torch.optim.SGD(model.parameters(), **SGD_OPTIONS)
    model.train()
    losses = []
    for step in range(steps):
        loss = criterion(model(golden.clips(FIRST_SGD_SEED + step)), golden.targets)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def _numbers(values: Any) -> np.ndarray:
    """Return a tensor on any device, an array or a number as float64."""
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, np.float64)


def assert_close(ours: Any, theirs: Any, relative: float) -> None:
    """Fail unless the largest difference is within `relative` of the largest golden value."""
    ours, theirs = _numbers(ours), _numbers(theirs)
    assert ours.shape == theirs.shape
    worst = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert worst <= relative, f"off by {worst:.2e} of the largest value; {relative:.0e} is allowed"


def assert_each_close(ours: Any, theirs: Any, relative: float, floor: float = 0.0) -> None:
    """Fail unless every value is within `relative` of its golden one, or within `floor` of the largest."""
    ours, theirs = _numbers(ours), _numbers(theirs)
    assert ours.shape == theirs.shape
    allowed = np.maximum(relative * np.abs(theirs), floor * np.abs(theirs).max())
    assert (np.abs(ours - theirs) <= allowed).all(), f"off by up to {(np.abs(ours - theirs) / allowed).max():.1f} times"


def check_structure(model: nn.Module, golden: Golden) -> None:
    """State-dict keys, their order, their shapes and the number of parameters, constant ones among them."""
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert list(shapes) == list(golden.state_shapes)
    assert shapes == golden.state_shapes
    assert sum(p.numel() for p in model.parameters()) == int(golden.figures["params"])


def check_eval_logits(model: nn.Module, golden: Golden) -> None:
    """Logits of a filled float64 model in evaluation mode, with and without gradients."""
    model.eval()
    with torch.no_grad():
        assert_close(model(golden.clips()), golden.figures["eval_logits"], 1e-8)
    assert_close(model(golden.clips()), golden.figures["eval_logits"], 1e-8)


def check_training_pass(model: nn.Module, golden: Golden, unused: Sequence[str] = ()) -> None:
    """Logits, loss, gradient norms and running means of one pass of a filled float64 model in training mode.

    `unused`: parts of the names of batch norms that the model only holds.
    """
    model.train()
    logits = model(golden.clips())
    loss = F.cross_entropy(logits, golden.targets)
    loss.backward()
    assert_close(logits, golden.figures["train_logits"], 1e-8)
    assert_close(loss.item(), golden.figures["loss"], 1e-8)
    norms = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
    assert list(norms) == [str(name) for name in golden.figures["grad_names"]]
    assert_each_close(list(norms.values()), golden.figures["grad_norms"], 1e-6, GRAD_NORM_FLOOR)
    first = next(tensor for key, tensor in model.state_dict().items() if key.endswith("running_mean"))
    assert_close(first, golden.figures["data_bn_running_mean"], 1e-8)
    for key, tensor in model.state_dict().items():
        if key.endswith("num_batches_tracked"):
            assert tensor == (not any(part in key for part in unused)), f"{key} is {tensor}"


def check_sgd_losses(model: nn.Module, golden: Golden) -> None:
    """The first steps of SGD with a filled float64 model; further ones would find nothing that two updates hide."""
    losses = sgd_losses(model, golden, steps=3)
    assert_each_close(losses, golden.figures["sgd_losses"][:len(losses)], 1e-6)


def check_float32_training_logits(model: nn.Module, golden: Golden) -> None:
    """Logits of a filled float32 model in training mode."""
    model.train()
    assert_close(model(golden.clips().float()), golden.figures["train_logits"], 1e-5)


def check_reference(model: nn.Module, golden: Golden) -> None:
    """The model as its paper's equations, which is what is exported, has the published figures, trained and not."""
    form = inference_form(model, golden.model_args)
    with torch.no_grad():
        assert_close(form(golden.clips()), golden.figures["eval_logits"], 1e-8)
        short = golden.clips()[:1, :, :7]  # an odd length, which strides do not divide
        assert_close(form(short), model.eval()(short), 1e-8)
    fused = [part for part in form.modules() if getattr(part, "written_by_hand", False)]
    assert all(part.forward == part.standard_forward for part in fused)
    assert not fused or not hasattr(model, "reference")
    for own, p in zip(form.parameters(), model.parameters(), strict=True):
        own.requires_grad_(p.requires_grad)
    check_structure(form, golden)
    check_training_pass(form, golden)
