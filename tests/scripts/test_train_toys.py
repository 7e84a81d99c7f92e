"""train_npz_mlp.py and train_skeleton_gcn.py: the real command lines, on small archives."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.scripts.small_archive import write_pair
from tests.trees import ROOT

SCRIPTS = ("train_npz_mlp.py", "train_skeleton_gcn.py")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("archives"), num_train=96, num_test=32)


def test_the_default_file_is_the_checkout_s():
    import train_npz_mlp
    import train_skeleton_gcn

    assert train_npz_mlp.DEFAULTS.npz_path == ROOT / "CTR-GCN/data/ntu/NTU60_CS.npz"  # in an image, /workspace/CTR-GCN
    assert train_skeleton_gcn.DEFAULTS.npz_path == ROOT / "CTR-GCN/data/ntu/NTU60_CS_ctrgcn.npz"


def read_top1(stdout: str) -> float:
    return float(re.search(r"test top-1 ([\d.]+)%", stdout).group(1))


@pytest.mark.parametrize(("script", "archive", "flags"), [
    ("train_npz_mlp.py", 0, ("--epochs", 12, "--batch-size", 24)),
    ("train_skeleton_gcn.py", 1, ("--epochs", 6, "--batch-size", 16, "--num-frames", 32, "--lr", 0.005)),
])
def test_learns_what_can_be_learned(archives, run_script, script, archive, flags):
    ran = run_script(script, "--npz-path", archives[archive], *flags, "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    assert read_top1(ran.stdout) > 70, ran.stdout  # chance: 25 %


def test_max_steps_amp_and_seed(archives, run_script):
    flags = ("--npz-path", archives[1], "--batch-size", 16, "--epochs", 50, "--max-steps", 3, "--amp",
             "--device", "cpu")
    first, again, other = (run_script(SCRIPTS[0], *flags, "--seed", seed) for seed in (5, 5, 6))
    assert first.returncode == 0, first.stderr
    assert "bfloat16" in first.stdout
    epochs = re.findall(r"epoch (\d+): loss ([\d.]+)", first.stdout)
    assert len(epochs) == 1
    assert epochs == re.findall(r"epoch (\d+): loss ([\d.]+)", again.stdout)
    assert epochs != re.findall(r"epoch (\d+): loss ([\d.]+)", other.stdout)


def test_without_a_gpu_cuda_0_says_so_in_one_line(archives, run_script):
    ran = run_script(SCRIPTS[0], "--npz-path", archives[0], "--batch-size", 16, "--max-steps", 1, "--device", "cuda:0",
                     env={"CUDA_VISIBLE_DEVICES": ""})
    assert ran.returncode == 0, ran.stderr
    assert sum("using the CPU" in line for line in ran.stdout.splitlines()) == 1


def test_with_loader_workers(archives, run_script):
    ran = run_script(SCRIPTS[0], "--npz-path", archives[0], "--batch-size", 16, "--max-steps", 2, "--num-workers", 2,
                     "--device", "cpu")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_bad_input_is_one_line_and_status_2(archives, tmp_path, run_script, script):
    huge = tmp_path / "huge.npz"
    clips = np.full((8, 20, 150), 1e30, np.float32) * np.linspace(1, 2, 150, dtype=np.float32)
    np.savez(huge, x_train=clips, y_train=np.eye(8), x_test=clips, y_test=np.eye(8))
    for flags, said in ((("--npz-path", tmp_path / "no.npz"), "no.npz"),
                        (("--npz-path", archives[0], "--batch-size", 1000), "--batch-size"),
                        (("--npz-path", huge, "--batch-size", 4, "--lr", 1e30), "the loss is")):
        ran = run_script(script, *flags, "--device", "cpu")
        assert ran.returncode == 2, ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
        assert said in ran.stderr.strip().splitlines()[-1]


def test_runs_from_workspace_and_its_scripts_folder(archives, tmp_path, run_script):
    """The images' layout: the engine beside the scripts, and the scripts once more in scripts/."""
    (tmp_path / "scripts").mkdir()
    os.symlink(ROOT / "skeleton_lab", tmp_path / "skeleton_lab")
    for script in (*SCRIPTS, "skeleton_dataset_ctrgcn.py"):
        for folder in (tmp_path, tmp_path / "scripts"):
            shutil.copy(ROOT / script, folder)
    for script in (Path(SCRIPTS[0]), Path("scripts") / SCRIPTS[1]):
        ran = run_script(script, "--npz-path", archives[0], "--batch-size", 16, "--max-steps", 1, "--device", "cpu",
                         cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
