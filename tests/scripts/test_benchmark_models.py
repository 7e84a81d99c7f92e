"""benchmark_models.py: the real command line, models of both trees, and models that fail."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil

import pytest

from tests.golden_models import GOLDEN
from tests.trees import ROOT

FAILING = {  # a model's source -> the status of its row
    "CTR-GCN/model/ctrgcn.py": ("import a_module_that_is_not_there", "failed"),
    "CTR-GCN/model/baseline.py": ("import torch; torch.empty(2 ** 60)", "out of memory"),
    "MS-G3D/model/msg3d.py": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed"),
}


@pytest.fixture
def workspace(tmp_path):
    """An image's /workspace: the engine, and the script in it and in its scripts/."""
    os.symlink(ROOT / "skeleton_lab", tmp_path / "skeleton_lab")
    for folder in (tmp_path, tmp_path / "scripts"):
        folder.mkdir(exist_ok=True)
        shutil.copy(ROOT / "benchmark_models.py", folder)
    return tmp_path


def test_failing_models_are_rows_and_the_others_stay(workspace, run_script):
    for name, (source, _) in FAILING.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source)
    ran = run_script(workspace / "benchmark_models.py", "--models", "ctrgcn", "baseline", "msg3d", "mlp", "--steps", 1,
                     "--device", "cpu", "--json", workspace / "out.json")
    assert ran.returncode == 1
    *bad, good = json.loads((workspace / "out.json").read_text())["rows"]
    assert [row["status"] for row in bad] == [status for _, status in FAILING.values()], ran.stdout
    assert (good["model"], good["status"], good["verdict"]) == ("mlp", "ok", "comfortable")
    for row in bad:
        assert re.search(rf"^{row['model']} +{row['status']}: {re.escape(row['error'])}$", ran.stdout, re.MULTILINE)
    assert "a_module_that_is_not_there" in bad[0]["error"] and "SIGKILL" in bad[2]["error"]
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(("model", "golden"), [("ctrgcn", "ctrgcn_ntu"), ("baseline", "baseline_ntu"),
                                               ("msg3d", "msg3d_ntu")])
def test_both_trees_report_the_published_parameter_counts(run_script, tmp_path, model, golden):
    import numpy as np

    ran = run_script("benchmark_models.py", "--model", model, "--steps", 1, "--seq-len", 16, "--batch-size", 1,
                     "--device", "cpu", "--csv", tmp_path / "out.csv")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with open(tmp_path / "out.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert int(row["parameters"]) == int(np.load(GOLDEN / f"{golden}.npz")["params"])
    assert float(row["gflops_per_clip"]) > 0.1
    assert (row["num_frames"], row["batch_size"]) == ("16", "1")
    assert "Verdict" not in ran.stdout  # not the recipe's clip length


def test_the_verdict_comes_last_and_needs_no_gpu(workspace, run_script):
    """From scripts/, one level below the engine, as in an image; `--device cuda:0` and `--amp` as users type them."""
    ran = run_script("scripts/benchmark_models.py", "--model", "mlp", "--steps", 1, "--device", "cuda:0", "--amp",
                     cwd=workspace, env={"CUDA_VISIBLE_DEVICES": ""})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert sum("using the CPU" in line for line in lines) == 1
    assert "prediction" in ran.stdout and "mixed precision" in ran.stdout
    assert lines[-1].startswith("mlp") and lines[-1].endswith("comfortable")


def test_a_budget_decides_the_verdict(run_script, tmp_path):
    words = {}
    for gigabytes in ("1", "0.2", "0.001"):
        ran = run_script("benchmark_models.py", "--model", "gcn", "--steps", 1, "--device", "cpu",
                         "--vram-gb", gigabytes, "--json", tmp_path / "out.json")
        row = json.loads((tmp_path / "out.json").read_text())["rows"][0]
        words[gigabytes] = row["verdict"]
        assert ran.returncode == (1 if row["verdict"] == "no" else 0)
    assert words == {"1": "comfortable", "0.2": "tight", "0.001": "no"}


def test_inference_and_a_batch_search(run_script, tmp_path):
    ran = run_script("benchmark_models.py", "--model", "mlp", "--infer", "--find-batch-size", "--steps", 1, "--device",
                     "cpu", "--json", tmp_path / "out.json")
    assert ran.returncode == 0, ran.stderr
    assert "Evaluation steps" in ran.stdout and "largest batch" in ran.stdout
    assert json.loads((tmp_path / "out.json").read_text())["rows"][0]["largest_batch"] > 1000


def test_a_model_whose_tree_is_not_here(workspace, run_script):
    ran = run_script(workspace / "benchmark_models.py", "--model", "msg3d")
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: --model msg3d: its folder MS-G3D/ is not here")


@pytest.mark.parametrize("flags", [("--model", "ctrgnc"), ("--steps", "0"), ("--vram-gb", "-1"), ("--batch-size", "x"),
                                   ("--infer", "--memory-friendly")])
def test_bad_flags_are_usage_errors(run_script, flags):
    ran = run_script("benchmark_models.py", *flags)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
