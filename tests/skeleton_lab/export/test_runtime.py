"""Other runtimes in PyTorch's place: their logits are the model's, or there are none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.export import runtime
from skeleton_lab.export.formats import ONNX
from skeleton_lab.train.config import read_config
from skeleton_lab.train.spec import TreeSpec
from skeleton_lab.train.trained import Trained
from tests.msg3d.small_model import Model
from tests.skeleton_lab.export.here import available
from tests.trees import ROOT

ARGUMENTS = {"num_class": 5, "num_point": 25, "num_person": 2, "num_gcn_scales": 2, "num_g3d_scales": 2,
             "graph": "graph.ntu_rgb_d.AdjMatrixGraph"}
CPU = torch.device("cpu")
CLIPS = torch.randn(2, 3, 12, 25, 2, generator=torch.Generator().manual_seed(1))


class Doubling(nn.Module):
    """Logits that are twice the clips' means."""

    def forward(self, clips):
        return 2 * clips.mean((2, 3, 4))


def other(**runs):
    said: list[str] = []
    timed = runs.pop("timed", True)
    return runtime.OtherRuntime(Doubling(), runs, timed, "delete the file", said.append), said


def right(clips):
    return 2 * clips.mean((2, 3, 4), dtype=np.float64).astype(np.float32)


def test_the_first_batch_is_compared_and_the_fastest_goes_on():
    calls = []

    def slow(clips):
        calls.append(len(clips))
        for _ in range(200):
            right(clips)
        return right(clips)

    model, said = other(onnxruntime=right, openvino=slow)
    with torch.inference_mode():
        torch.testing.assert_close(model(CLIPS), Doubling()(CLIPS))
        torch.testing.assert_close(model(CLIPS[:1]), Doubling()(CLIPS[:1]))
    assert model.chosen in ("onnxruntime", "torch") and calls == [2] * (1 + runtime._TIMED_PASSES)
    assert len(said) == 1 and f"Computed by {model.chosen}" in said[0] and "openvino" in said[0]


@pytest.mark.parametrize("wrong", [lambda clips: right(clips) * 1.01, lambda clips: right(clips) * np.nan,
                                   lambda clips: right(clips)[:, :2]])
def test_logits_that_differ_are_refused_or_left_out(wrong):
    model, _ = other(onnxruntime=wrong, timed=False)
    with pytest.raises(UserError, match=r"--runtime onnxruntime: .*; delete the file, or use --runtime torch"):
        model(CLIPS)
    model, said = other(onnxruntime=wrong, openvino=right)
    torch.testing.assert_close(model(CLIPS), Doubling()(CLIPS))
    assert model.chosen != "onnxruntime" and "left out" in said[0]


@pytest.fixture
def trained(tmp_path) -> Trained:
    torch.manual_seed(0)
    model = Model(**ARGUMENTS)
    torch.save(model.state_dict(), tmp_path / "best.pt")
    config = read_config(TreeSpec(root=ROOT / "MS-G3D"), ["--model", "tests.msg3d.small_model.Model"])
    config.model_args = ARGUMENTS
    return Trained(model.eval(), config, TreeSpec(root=ROOT / "MS-G3D"), tmp_path / "best.pt")


def test_an_export_stays_beside_the_weights_until_they_change(trained):
    available(ONNX)
    said: list[str] = []
    file = runtime.exported_beside(trained, said.append)
    made = file.stat().st_mtime_ns
    assert file.parent == trained.weights.parent and len(said) == 1
    assert runtime.exported_beside(trained, said.append) == file and file.stat().st_mtime_ns == made and len(said) == 1
    (trained.weights.parent / "best.mine.onnx").write_text("somebody's own")
    with torch.no_grad():
        next(trained.model.parameters()).mul_(2)
    torch.save(trained.model.state_dict(), trained.weights)
    after = runtime.exported_beside(trained, said.append)
    assert after != file and sorted(path.name for path in after.parent.glob("*.onnx")) == sorted(
        ["best.mine.onnx", after.name])
    network = runtime.network_for(trained, "onnxruntime", CPU, said.append)
    with torch.inference_mode():
        for clips in (CLIPS, CLIPS[:1], CLIPS[:, :, :9]):
            torch.testing.assert_close(network(clips), trained.model(clips), rtol=1e-4, atol=1e-4)
    if importlib.util.find_spec("openvino") is None:
        with pytest.raises(UserError, match="--runtime openvino: needs the package openvino; pip install"):
            runtime.network_for(trained, "openvino", CPU, said.append)
    else:
        network = runtime.network_for(trained, "openvino", CPU, said.append)
        with torch.inference_mode():
            for clips in (CLIPS, CLIPS[:1], CLIPS[:, :, :9]):
                torch.testing.assert_close(network(clips), trained.model(clips), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_is_said(trained, monkeypatch):
    said: list[str] = []
    with pytest.raises(UserError, match="add --device cpu"):
        runtime.network_for(trained, "onnxruntime", torch.device("meta"), said.append)
    assert runtime.network_for(trained, "torch", CPU, said.append) is trained.model

    def lacks(output_format):
        raise UserError("--format onnx: needs the package onnx; pip install it")

    monkeypatch.setattr(runtime, "require", lacks)
    assert runtime.network_for(trained, "auto", CPU, said.append) is trained.model
    assert said == ["Computed by PyTorch: --format onnx: needs the package onnx; pip install it."]
    with pytest.raises(UserError, match="needs the package onnx"):
        runtime.network_for(trained, "onnxruntime", CPU, said.append)


@pytest.mark.parametrize("flags", [(), ("--phase", "test", "--half")])
def test_only_tests_in_single_precision_take_it(flags):
    with pytest.raises(UserError, match="--runtime auto: is for --phase test"):
        read_config(TreeSpec(root=Path()), ["--runtime", "auto", *flags])
