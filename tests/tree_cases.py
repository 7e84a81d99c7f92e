"""What every tree's tests check in the same way: configs, a training in parts, its scores; a model and its equations.

A tree's own tests say what is particular about it, and call these with its models and settings.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from skeleton_lab.errors import UserError
from skeleton_lab.export.formats import Example, trace
from skeleton_lab.export.reference import inference_form
from skeleton_lab.nn.model import further_inputs_of
from tests.several import run_main
from tests.trees import ROOT

EXACT = {"rtol": 1e-8, "atol": 1e-8}


# Models -----------------------------------------------------------------------------------------------------------


def scrambled(model: nn.Module, plain: nn.Module) -> tuple[Any, Any]:
    """Return a model and its reference, float64, with the same random weights and running moments."""
    model, plain = model.double(), plain.double()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith("running_mean"):
            buffer.normal_(generator=generator)
    assert plain.state_dict().keys() == model.state_dict().keys()
    plain.load_state_dict(model.state_dict())
    return model, plain


def random_clips(num_clips: int = 2, frames: int = 9, joints: int = 25, bodies: int = 2) -> Tensor:
    """Return clips (N, 3, T, V, M) float64, the same every time."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn(num_clips, 3, frames, joints, bodies, dtype=torch.float64, generator=generator)


Gradients = Callable[[nn.Module, Tensor], tuple[Tensor, Sequence[Tensor]]]


def assert_same_step(ours: nn.Module, plain: nn.Module, x: Tensor, gradients: Gradients) -> None:
    """Logits, gradients of the clips and all parameters, most of them noticeable, and the state afterwards."""
    logits, ours_gradients = gradients(ours, x)
    expected, plain_gradients = gradients(plain, x)
    torch.testing.assert_close(logits, expected, **EXACT)
    for name, mine, theirs in zip(["clips", *dict(ours.named_parameters())], ours_gradients, plain_gradients,
                                  strict=True):
        torch.testing.assert_close(mine, theirs, **EXACT, msg=lambda text, name=name: f"{name}: {text}")
    assert sum(gradient.abs().max() > 1e-3 for gradient in ours_gradients) > len(ours_gradients) / 2
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, **EXACT, msg=key)


def assert_same_evaluation(ours: nn.Module, plain: nn.Module, x: Tensor, gradients: Gradients) -> None:
    """Logits without gradients, of absent bodies and of new weights too; and gradients, since weights can be trained
    with the norms frozen."""
    ours.eval(), plain.eval()
    logits, ours_gradients = gradients(ours, x)
    expected, plain_gradients = gradients(plain, x)
    assert logits.requires_grad
    torch.testing.assert_close([logits, *ours_gradients], [expected, *plain_gradients], **EXACT)
    with torch.no_grad():
        torch.testing.assert_close(ours(*inputs_of(ours, x)), expected.detach(), **EXACT)
        alone = x.clone()
        alone[0, ..., 1:] = 0
        for factor in (1, 1.01):
            for model in (ours, plain):
                torch._foreach_mul_(list(model.parameters()), factor)
            torch.testing.assert_close(ours(*inputs_of(ours, alone)), plain(*inputs_of(plain, alone)), **EXACT)


def inputs_of(model: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Return clips and, for each further input of the model, other numbers of the same shape."""
    return (x, *(x.square() for _ in further_inputs_of(model)))


def assert_half_is_close(model: nn.Module, x: Tensor) -> None:
    """bfloat16 by autocast: logits near those of single precision, finite gradients."""
    exact = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
    assert (half.float() - exact).abs().max() < 0.1 * exact.abs().max()
    functional.cross_entropy(half.float(), torch.arange(len(x))).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.requires_grad)


def assert_exports(model: nn.Module, arguments: Mapping[str, Any]) -> None:
    """With batch and length open; `model` float32, in evaluation mode, of clips (N, 3, T, 25, 2)."""
    open_frames = hasattr(torch.export.Dim, "DYNAMIC")  # older PyTorch asks for proofs that strides do not permit
    example = Example(channels=3, frames=12, joints=25, bodies=2, open_frames=open_frames,
                      further=further_inputs_of(model))
    program = trace(inference_form(model, arguments), example).module()
    for num_clips, frames in ((1, 12), (3, 17 if open_frames else 12)):
        inputs = inputs_of(model, random_clips(num_clips, frames).float())
        with torch.no_grad():
            expected = model(*inputs)
            torch.testing.assert_close(program(*inputs), expected, rtol=0,
                                       atol=1e-4 * max(1, expected.abs().max().item()))


def assert_size(model: Callable[..., nn.Module], count: int, *others: tuple[dict[str, Any], tuple[int, ...]]) -> None:
    """NTU-60's model has `count` parameters; it and `others` (arguments, clips' shape) give logits of their classes."""
    ntu = {"num_class": 60, "graph": "graph.ntu_rgb_d.Graph"}
    for arguments, shape in ((ntu, (1, 3, 20, 25, 2)), *others):
        network = model(**arguments)
        assert arguments is not ntu or sum(parameter.numel() for parameter in network.parameters()) == count
        assert network(torch.randn(shape)).shape == (shape[0], arguments["num_class"])


def assert_head(model: nn.Module, width: int = 256) -> None:
    """The features (N, width) are what the classifier takes; `model` float64, in evaluation mode."""
    features = model.features(random_clips(3))
    assert features.shape == (3, width)
    assert torch.equal(model.fc(features), model(random_clips(3)))


def assert_one_line(model: Callable[..., nn.Module], arguments: Mapping[str, Any], message: str) -> None:
    """A model of bad arguments is refused in one line."""
    with pytest.raises(UserError, match=message) as caught:
        model(**arguments)
    assert "\n" not in str(caught.value)


# Command lines ----------------------------------------------------------------------------------------------------


def ntu_flags(archive: Path, config: str = "config/nturgbd-cross-subject/default.yaml",
              *model_args: str) -> list[str]:
    """Return `main.py`'s words for a small CPU run on `tiny_archive`."""
    data = f"data_path={archive},window_size=8"
    return ["--config", config, "--train-feeder-args", data, "--test-feeder-args", data, "--model-args",
            ",".join(("num_class=4", *model_args)), "--device", "cpu", "--num-worker", "0", "--batch-size", "4",
            "--test-batch-size", "4", "--save-epoch", "0"]


@dataclass(frozen=True)
class Runs:
    """Work directories: two epochs at once, the same in two runs, a test of the first's best weights."""

    whole: Path
    parts: Path
    tested: Path

    def same_weights(self, name: str = "runs-2-4.pt") -> None:
        """Fail unless both trainings ended in the same weights."""
        first, second = (torch.load(folder / name, weights_only=True) for folder in (self.whole, self.parts))
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)

    def scores(self) -> dict[str, np.ndarray]:
        """Return the best epoch's scores, which must be the test's."""
        best, again = (pickle.loads((folder / "epoch1_test_score.pkl").read_bytes())
                       for folder in (self.whole, self.tested))
        assert all(np.array_equal(best[name], again[name]) for name in best)
        return best


def train_in_parts(tree: str, words: Iterable[object], folder: Path) -> Runs:
    """Train two epochs at once and in two runs, the second one memory-friendly, which changes no number; then test."""
    words = [*map(str, words)]
    runs = Runs(folder / "whole", folder / "parts", folder / "tested")
    for more in ((*words, "--num-epoch", "2", "--work-dir", runs.whole),
                 (*words, "--num-epoch", "1", "--work-dir", runs.parts),
                 (*words, "--num-epoch", "2", "--resume", "--memory-friendly", "--work-dir", runs.parts),
                 (*words, "--phase", "test", "--save-score", "true", "--weights", runs.whole / "best.pt", "--work-dir",
                  runs.tested)):
        done = run_main(tree, ROOT / tree, list(map(str, more)))
        assert done.status == 0, done.err
    return runs


def assert_fuses_what_it_trains(tree: str, words: Iterable[object], archive: Path, run_script: Callable[..., Any],
                                folder: Path, *more: object) -> tuple[Runs, str]:
    """Trained in parts, tested and fused, on an archive of one-hot labels; return the runs and what was printed.

    `more`: words of `ensemble.py`.
    """
    runs = train_in_parts(tree, words, folder)
    runs.same_weights()
    scores = runs.scores()
    with np.load(archive) as clips:
        labels = clips["y_test"].argmax(1)
    assert list(scores) == [f"test_{row}" for row in range(len(labels))]
    done = run_script("ensemble.py", "--dataset", "ntu/xsub", "--labels", archive, "--joint-dir", runs.whole,
                      "--bone-dir", runs.tested, *more, cwd=ROOT / tree)
    expected = 100 * np.mean(np.stack(list(scores.values())).argmax(1) == labels)
    assert re.search(rf"^Top1 Acc: {expected:.4f}%$", done.stdout, re.M), done.stdout + done.stderr
    return runs, done.stdout


def assert_refuses_weights(tree: str, words: Iterable[object], folder: Path, key: str) -> None:
    """Weights of another model, with a `key` that this one lacks, are one line."""
    torch.save({key: torch.zeros(1)}, folder / "other.pt")
    done = run_main(tree, ROOT / tree, [*map(str, words), "--weights", str(folder / "other.pt"), "--work-dir",
                                        str(folder / "work")])
    assert done.status == 2 and done.err.startswith("error: ") and done.err.count("\n") == 1
    assert not (folder / "work" / "best.pt").exists()
