"""BlockGCN through its real command line, on a small archive: train, resume, test, fuse, refuse."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
import torch

from tests.scripts.small_archive import write_pair
from tests.several import run_main
from tests.trees import ROOT

TREE = ROOT / "BlockGCN"
CONFIGS = sorted((TREE / "config").glob("*/*.yaml"))
NUM_TEST, NUM_CLASS = 6, 4


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("archive"), num_train=8, num_test=NUM_TEST, num_classes=NUM_CLASS)[0]


def flags(archive, *more) -> tuple:
    data = f"data_path={archive},window_size=8"
    return ("main.py", "--config", "config/nturgbd-cross-subject/default.yaml", "--train-feeder-args", data,
            "--test-feeder-args", data, "--model-args", f"num_class={NUM_CLASS}", "--device", "cpu", "--num-worker",
            "0", "--batch-size", "4", "--test-batch-size", "4", "--save-epoch", "0", *more)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_each_config_resolves(path, tree):
    from skeleton_lab.imports import check_arguments
    from skeleton_lab.train.config import read_config
    from skeleton_lab.train.spec import TreeSpec

    config = read_config(TreeSpec(root=TREE), ["--config", str(path)])
    for key in ("train_feeder_args", "test_feeder_args"):
        check_arguments(tree.load(config.feeder), config.feeder, getattr(config, key), key)
    tree.load(config.model)(**config.model_args)


def test_the_configs_are_the_data_sets_and_streams():
    from yaml import safe_load

    found = {}
    for path in CONFIGS:
        config = safe_load(path.read_text())
        train, test = config["train_feeder_args"], config["test_feeder_args"]
        if "ntu" in path.parent.name:
            assert [train[key] == test[key] for key in ("data_path", "bone", "vel")] == [True] * 3
            found[f"{path.parent.name}/{path.stem}"] = (config["model_args"]["num_class"], train["data_path"],
                                                        train["bone"], train["vel"])
    assert found == {f"{name}/{stream}": (classes, f"data/{file}", "bone" in stream, "vel" in stream)
                     for name, classes, file in (
                         ("nturgbd-cross-subject", 60, "ntu/NTU60_CS.npz"),
                         ("nturgbd-cross-view", 60, "ntu/NTU60_CV.npz"),
                         ("nturgbd120-cross-subject", 120, "ntu120/NTU120_CSub.npz"),
                         ("nturgbd120-cross-set", 120, "ntu120/NTU120_CSet.npz"))
                     for stream in ("default", "bone", "vel", "bone_vel")}


def test_the_published_names_of_the_model_are_known(archive, tmp_path):
    """Published configs name `model.ctrgcn.Model`, with options that nothing reads; commands `model.BlockGCN.Model`."""
    for name in ("model.ctrgcn.Model", "model.BlockGCN.Model"):
        done = run_main("BlockGCN", TREE, [*map(str, flags(archive)[1:]), "--phase", "model_size", "--model", name,
                                           "--model-args", "joint_label=[0,0,1],num_class=60", "--work-dir",
                                           str(tmp_path)])
        assert done.status == 0, done.err
        assert "1372780" in done.out


def test_resumed_tested_and_fused(archive, run_script, tmp_path):
    """Two epochs at once and in two runs end in the same weights; their scores are the test's; ensemble.py joins them.

    The run in two parts recomputes activations in its second one, which changes no number.
    """
    whole, parts, tested = tmp_path / "whole", tmp_path / "parts", tmp_path / "tested"
    for words in ((*flags(archive, "--num-epoch", 2), "--work-dir", whole),
                  (*flags(archive, "--num-epoch", 1), "--work-dir", parts),
                  (*flags(archive, "--num-epoch", 2, "--resume", "--memory-friendly"), "--work-dir", parts),
                  (*flags(archive, "--phase", "test", "--save-score", "true", "--weights", whole / "best.pt"),
                   "--work-dir", tested)):
        done = run_main("BlockGCN", TREE, list(map(str, words[1:])))
        assert done.status == 0, done.err
    first, second = (torch.load(folder / "runs-2-4.pt", weights_only=True) for folder in (whole, parts))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)

    best, again = (pickle.loads((folder / "epoch1_test_score.pkl").read_bytes()) for folder in (whole, tested))
    assert list(best) == [f"test_{row}" for row in range(NUM_TEST)]
    assert all(np.array_equal(best[name], again[name]) for name in best)
    done = run_script("ensemble.py", "--dataset", "ntu/xsub", "--labels", archive, "--joint-dir", whole, "--bone-dir",
                      tested, cwd=TREE)
    labels = np.arange(NUM_TEST) % NUM_CLASS
    expected = 100 * np.mean(np.stack(list(best.values())).argmax(1) == labels)
    assert re.search(rf"^Top1 Acc: {expected:.4f}%$", done.stdout, re.M), done.stdout + done.stderr


def test_weights_of_another_model_are_refused_in_one_line(archive, run_script, tmp_path):
    torch.save({"l1.gcn1.alpha": torch.zeros(1)}, tmp_path / "other.pt")
    done = run_script(*flags(archive, "--weights", tmp_path / "other.pt", "--work-dir", tmp_path / "work"), cwd=TREE)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "work" / "best.pt").exists()


def test_the_benchmark_knows_it(run_script, tmp_path):
    done = run_script("benchmark_models.py", "--model", "blockgcn", "--steps", 1, "--seq-len", 16, "--batch-size", 1,
                      "--device", "cpu", "--json", tmp_path / "out.json", fresh=True)  # and so is the model's process
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "out.json").read_text())["rows"][0]
    assert (row["model"], row["status"], row["parameters"]) == ("blockgcn", "ok", 1_372_780)
