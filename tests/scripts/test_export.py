"""export.py through its command line."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from skeleton_lab.errors import UserError
from skeleton_lab.export.formats import ONNX, TORCH_EXPORT, leaves_lengths_open, open_file
from tests.msg3d.small_model import Model
from tests.skeleton_lab.export.here import available
from tests.trees import ROOT, open_tree

SCRIPT = ROOT / "export.py"
ENOUGH = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A work directory of a small model that takes MS-G3D's options."""
    folder = tmp_path_factory.mktemp("run")
    settings = yaml.safe_load((ROOT / "MS-G3D/config/nturgbd-cross-subject/test_joint.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**settings, "model": "tests.msg3d.small_model.Model",
                                                        "weights": None}))
    torch.manual_seed(0)
    torch.save(Model(**settings["model_args"]).state_dict(), folder / "best.pt")
    return folder


@pytest.mark.parametrize("output_format", [ONNX, TORCH_EXPORT])
def test_a_file_that_computes_the_same(run, run_script, tmp_path, output_format: str) -> None:
    available(output_format)
    path = tmp_path / "model.file"
    words = ("--run", run, "--tree", ROOT / "MS-G3D", "--format", output_format, "--output", path, "--frames", 10)
    done = run_script(SCRIPT, *words, env=ENOUGH)
    assert done.returncode == 0, done.stderr
    open_frames = leaves_lengths_open()
    length, free = ("T", "N and T (8 or more) are") if open_frames else ("T = 10", "N is")
    assert f"clips (N, 3, {length}, 25, 2) float32 -> logits (N, 60) float32; {free} open" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()[4:-1]]  # clips, frames, largest difference, largest logit
    lengths = (10, 9, 10, 13) if open_frames else (10,) * 4
    assert [(int(row[0]), int(row[1])) for row in rows] == list(zip((1, 2, 3, 4), lengths, strict=True))
    assert all(float(row[2]) <= 1e-5 for row in rows)
    assert done.stdout.endswith("within 0.0001 of the largest logit, or of 1\n")
    clips = np.random.default_rng(0).standard_normal((3, 3, 9 if open_frames else 10, 25, 2)).astype(np.float32)
    model = Model(**yaml.safe_load((run / "config.yaml").read_text())["model_args"]).eval()
    model.load_state_dict(torch.load(run / "best.pt", weights_only=True))
    with torch.no_grad():
        np.testing.assert_allclose(open_file(path, output_format)(clips), model(torch.from_numpy(clips)), atol=1e-5)
    again = run_script(SCRIPT, *words, env=ENOUGH)
    assert again.returncode == 2 and again.stderr.count("\n") == 1
    assert again.stderr.startswith(f"error: {path}: exists; give another --output")


@pytest.mark.parametrize(("words", "complaint"), [
    (("--run", "nowhere"), "nowhere: no such file or folder"),
    (("--run", "{run}"), "give the folder of its main.py with --tree"),
    (("--run", "{run}", "--tree", "MS-G3D", "--weights", "README.md"), "README.md: "),
    ((), "which model?"),
])
def test_bad_input_is_one_line(run, monkeypatch, tmp_path, words, complaint: str) -> None:
    """In this process, which saves starting one for each."""
    spec = importlib.util.spec_from_file_location("export_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["export.py", *(word.format(run=run) for word in words), "--format", TORCH_EXPORT,
                                      "--output", str(tmp_path / "x")])
    with open_tree("MS-G3D"), pytest.raises(UserError, match=re.escape(complaint)) as refusal:
        script.main(script.read_options())
    assert "\n" not in str(refusal.value) and not list(tmp_path.glob("x*"))  # the claim on it ends with the command
