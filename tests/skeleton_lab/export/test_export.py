"""Exported files: checked before they are kept, with both lengths open where the model permits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.export import export as exporting
from skeleton_lab.export import formats
from skeleton_lab.export.export import export, sizes, traced
from skeleton_lab.export.formats import ONNX, TORCH_EXPORT, Example, leaves_lengths_open, open_file, require
from skeleton_lab.nn.layers import MultiScaleTemporalConv, bodies_to_batch
from tests.skeleton_lab.export.here import available

EXAMPLE = Example(channels=3, frames=8, joints=4, bodies=2)


class Small(nn.Module):
    """A temporal unit of the engine between the usual stem and head, whose batch has open sizes."""

    def __init__(self, bodies: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.data_bn, self.bodies = nn.BatchNorm1d(12 * bodies), bodies
        self.unit = MultiScaleTemporalConv(3, 8, kernel_size=3, dilations=(1, 2), stride=2, residual=True,
                                           activation=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        x = self.unit(bodies_to_batch(clips, self.data_bn)).mean(dim=(2, 3))  # (N*M, C)
        return self.fc(x.view(clips.shape[0], self.bodies, -1).mean(dim=1))


class FixedLength(nn.Module):
    """A model for clips of 8 frames only."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 4 * 2, 5)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.fc(clips.flatten(1))


def trained(model: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(model=model.eval(), config=SimpleNamespace(model_args={}))


@pytest.mark.parametrize(("output_format", "bodies"), [(ONNX, 2), (TORCH_EXPORT, 2), (TORCH_EXPORT, 1)])
def test_both_lengths_are_open(tmp_path: Path, output_format: str, bodies: int) -> None:
    model = Small(bodies).eval()
    example, found = export(trained(model), replace(EXAMPLE, bodies=bodies), available(output_format), tmp_path / "m")
    assert example.open_batch and example.open_frames == leaves_lengths_open()
    lengths = (8, 8, 9, 11) if example.open_frames else (8,) * 4
    assert {(entry.clips, entry.frames) for entry in found} == set(zip((1, 3, 2, 4), lengths, strict=True))
    frames = 21 if example.open_frames else 8
    clips = np.random.default_rng(0).standard_normal((5, 3, frames, 4, bodies)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(clips)).numpy()
    np.testing.assert_allclose(open_file(tmp_path / "m", output_format)(clips), expected, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_model_for_one_length_leaves_the_batch_open(tmp_path: Path) -> None:
    example, found = export(trained(FixedLength()), EXAMPLE, TORCH_EXPORT, tmp_path / "m")
    assert example.open_batch and not example.open_frames
    assert {entry.frames for entry in found} == {8} and len({entry.clips for entry in found}) == 4


def test_no_file_is_left_that_computes_something_else(tmp_path: Path, monkeypatch) -> None:
    honest = open_file
    monkeypatch.setattr(exporting, "open_file", lambda *of: lambda clips: honest(*of)(clips) + np.float32(0.001))
    with pytest.raises(UserError, match="its logits differ by 1"):
        export(trained(Small()), EXAMPLE, TORCH_EXPORT, tmp_path / "m")
    monkeypatch.setattr(exporting, "open_file", lambda *of: lambda clips: honest(*of)(clips) * np.float32("nan"))
    with pytest.raises(UserError, match="not written"):
        export(trained(Small()), EXAMPLE, TORCH_EXPORT, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_traced_is_one_line() -> None:
    class Undecided(nn.Module):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return clips.flatten(1) if clips.sum() > 0 else clips.mean(dim=2)

    with pytest.raises(UserError, match="this model cannot be exported") as refusal:
        traced(Undecided(), {}, EXAMPLE)
    assert "\n" not in str(refusal.value)


def test_sizes_differ_from_what_was_traced_where_they_are_open() -> None:
    assert (1, 8) in sizes(EXAMPLE) and any(frames % 2 for _, frames in sizes(EXAMPLE))
    assert sizes(replace(EXAMPLE, open_frames=False, open_batch=False)) == [(2, 8)]


def test_what_is_missing_is_named(monkeypatch) -> None:
    monkeypatch.setattr(formats.torch, "__version__", "2.3.1+cpu")
    with pytest.raises(UserError, match=r"needs PyTorch 2\.6 or newer, this is 2\.3\.1"):
        require(ONNX)
    monkeypatch.setattr(formats.torch, "__version__", "2.13.0")
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"needs the package onnx.*pip install -r requirements-export\.txt"):
        require(ONNX)
