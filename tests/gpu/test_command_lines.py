"""The command lines on a GPU: train, resume, test, export, benchmark, as users type them."""

from __future__ import annotations

import csv
import json
import pickle
import re

import numpy as np
import pytest
import torch

from tests.msg3d.clip_files import make_place, numbered
from tests.scripts.small_archive import write_pair
from tests.trees import ROOT

CTRGCN, MSG3D, STGCN = ROOT / "CTR-GCN", ROOT / "MS-G3D", ROOT / "ST-GCN"
SHORT = ("--num-worker", 2, "--batch-size", 8, "--test-batch-size", 8, "--num-epoch", 2, "--step", 1, "--save-epoch", 0)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A Kaggle archive and the converted one of the same clips."""
    return write_pair(tmp_path_factory.mktemp("archives"), num_train=32, num_test=12, num_classes=4)


@pytest.fixture
def train(run_script, archives):
    """Return a function that runs CTR-GCN's command line in a process of its own, on the GPU unless told otherwise."""

    def run(work_dir, *flags):
        data = f"data_path={archives[0]},window_size=16"
        return run_script("main.py", "--config", "config/nturgbd-cross-subject/default.yaml", "--work-dir", work_dir,
                          "--train-feeder-args", data, "--test-feeder-args", data, "--model-args", "num_class=4",
                          *SHORT, *flags, cwd=CTRGCN)

    return run


def state_of(work_dir):
    return torch.load(work_dir / "training_state.pt", weights_only=True)["model"]


def scores_of(work_dir):
    return pickle.loads((work_dir / "epoch1_test_score.pkl").read_bytes())


@pytest.mark.parametrize("flags", [(), ("--half",), ("--half", "--amp-dtype", "fp16"), ("--memory-friendly",),
                                   ("--forward-batch-size", 4), ("--observe", "random")], ids=str)
def test_ctrgcn_trains(train, tmp_path, gpu, flags):
    done = train(tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert "CPU" not in done.stdout
    assert gpu in (tmp_path / "run.json").read_text()
    with open(tmp_path / "history.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_a_resumed_run_is_the_untouched_one_to_the_bit(train, tmp_path):
    """One epoch with recorded passes, then another without after a new start: the weights of two in one go."""
    whole, parts, small = tmp_path / "whole", tmp_path / "parts", ("--batch-size", 4)
    for work_dir, flags in ((whole, ()), (parts, ("--num-epoch", 1)), (parts, ("--resume", "--cuda-graph", "false"))):
        done = train(work_dir, *small, *flags)
        assert done.returncode == 0, done.stderr
        assert "--cuda-graph" not in done.stdout
    first, second = state_of(whole), state_of(parts)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_weights_trained_on_the_gpu_score_the_same_on_the_cpu(train, tmp_path):
    assert train(tmp_path / "run").returncode == 0
    for device in ("0", "cpu"):
        done = train(tmp_path / device, "--device", device, "--phase", "test", "--save-score", "true", "--weights",
                     tmp_path / "run" / "best.pt")
        assert done.returncode == 0, done.stderr
    on_gpu, on_cpu = (scores_of(tmp_path / device) for device in ("0", "cpu"))
    scale = max(np.abs(scores).max() for scores in on_cpu.values())
    assert all(np.abs(on_gpu[name] - on_cpu[name]).max() < 0.05 * scale for name in on_cpu)  # TF32, hardly trained


def torchrun(run_script, archive, tree, work_dir, processes):
    """A training of two epochs in several processes."""
    data = f"data_path={archive},window_size=16"
    done = run_script("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "main.py",
                      "--config", "config/nturgbd-cross-subject/default.yaml", "--work-dir", work_dir,
                      "--train-feeder-args", data, "--test-feeder-args", data, "--model-args", "num_class=4", *SHORT,
                      cwd=tree)
    assert done.returncode == 0, done.stderr
    with open(work_dir / "history.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


@pytest.mark.parametrize("tree", [CTRGCN, STGCN], ids=lambda tree: tree.name)
def test_under_torchrun(archives, run_script, tmp_path, tree):
    """One process and NCCL, which is all that one GPU permits."""
    torchrun(run_script, archives[0], tree, tmp_path, 1)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs: NCCL permits one process each")
@pytest.mark.parametrize("tree", [CTRGCN, STGCN], ids=lambda tree: tree.name)
def test_on_two_gpus(archives, run_script, tmp_path, tree):
    """Training and evaluation, before which the second process is given the weights of the first."""
    torchrun(run_script, archives[0], tree, tmp_path, 2)


@pytest.mark.parametrize("flags", [("--half",), ("--memory-friendly",)], ids=str)
def test_msg3d_trains(run_script, tmp_path, flags):
    place = make_place(tmp_path, numbered(train=8, val=4), 24)
    done = run_script(MSG3D / "main.py", "--config", MSG3D / "config/nturgbd-cross-subject/train_joint.yaml",
                      "--work-dir", tmp_path / "work", "--device", 0, *SHORT, "--forward-batch-size", 4, *flags,
                      cwd=place)
    assert done.returncode == 0, done.stderr
    assert "CPU" not in done.stdout


def test_check_gpu(run_script):
    done = run_script("check_gpu.py", "--require", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["usable"] and found["torch"]["devices"][0]["error"] is None


@pytest.mark.parametrize(("script", "archive", "flags"), [
    ("train_npz_mlp.py", 0, ("--amp",)), ("train_skeleton_gcn.py", 1, ("--num-frames", 32)),
])
def test_toys(archives, run_script, script, archive, flags):
    done = run_script(script, "--npz-path", archives[archive], "--device", "cuda:0", "--epochs", 2, "--batch-size", 8,
                      *flags)
    assert done.returncode == 0, done.stderr
    assert "using the CPU" not in done.stdout


def test_benchmark_stays_within_the_budget(run_script, tmp_path):
    """As if the card had 2 GB: searched, not predicted; what does not fit is told, not a crash."""
    out = tmp_path / "rows.json"
    done = run_script("benchmark_models.py", "--model", "ctrgcn", "gcn", "--vram-gb", 2, "--steps", 3, "--json", out)
    assert done.returncode == 0, done.stderr
    assert "searched on this card" in done.stdout
    for row in json.loads(out.read_text())["rows"]:
        assert row["predicted"] is False and row["peak_reserved_mib"] * 2**20 <= 2e9
    assert re.search(r"ctrgcn .*(tight|comfortable)", done.stdout), done.stdout
