"""Hyper-GCN through its real command line, on a small archive: train, resume, test, fuse, refuse."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch
from yaml import safe_load

from tests.scripts.small_archive import write_pair
from tests.several import run_main
from tests.trees import ROOT

TREE = ROOT / "Hyper-GCN"
CONFIGS = sorted((TREE / "config").rglob("*.yaml"))
NUM_TEST, NUM_CLASS = 6, 4


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("archive"), num_train=8, num_test=NUM_TEST, num_classes=NUM_CLASS)[0]


def flags(archive, *more) -> tuple:
    data = f"data_path={archive},window_size=8"
    return ("main.py", "--config", "config/base/nturgbd-cross-view/hyper_joint.yaml", "--train-feeder-args", data,
            "--test-feeder-args", data, "--model-args", f"num_class={NUM_CLASS}", "--device", "cpu", "--num-worker",
            "0", "--batch-size", "4", "--test-batch-size", "4", "--save-epoch", "0", *more)


def test_each_config_resolves(tree):
    from skeleton_lab.imports import check_arguments, construct
    from skeleton_lab.train.config import read_config
    from skeleton_lab.train.spec import TreeSpec

    for path in CONFIGS:
        config = read_config(TreeSpec(root=TREE), ["--config", str(path)])
        for key in ("train_feeder_args", "test_feeder_args"):
            check_arguments(tree.load(config.feeder), config.feeder, getattr(config, key), key)
        check_arguments(tree.load(config.model), config.model, config.model_args, "model_args")
        options = config.model_args
        graph = construct(options["graph"], {"hyper_joints": options.get("hyper_joints", 0),
                                             **options.get("graph_args", {})}, "graph_args")
        assert graph.num_node == options["num_point"]


def test_the_configs_are_the_published_ones():
    configs = {str(path.relative_to(TREE / "config")): safe_load(path.read_text()) for path in CONFIGS}
    assert len(configs) == 32 + 2
    data = {"nturgbd-cross-subject": (60, "data/ntu/NTU60_CS.npz"), "nturgbd-cross-view": (60, "data/ntu/NTU60_CV.npz"),
            "nturgbd120-cross-subject": (120, "data/ntu120/NTU120_CSub.npz"),
            "nturgbd120-cross-set": (120, "data/ntu120/NTU120_CSet.npz")}
    for size in ("base", "large"):
        for benchmark, (classes, file) in data.items():
            for stream in ("joint", "bone", "joint_motion", "bone_motion"):
                config = configs[f"{size}/{benchmark}/hyper_{stream}.yaml"]
                xview, motion = benchmark == "nturgbd-cross-view", "motion" in stream
                for part in ("train_feeder_args", "test_feeder_args"):
                    options = config[part]
                    assert (options["data_path"], options["bone"], options["vel"]) == (file, "bone" in stream, motion)
                    assert options.get("frame_sample") == ("clips" if xview else None)
                    assert options.get("align") == (True if xview else None)
                model = config["model_args"]
                assert model["num_class"] == classes and model.get("size", "base") == size
                assert model.get("hyper_joints", 0) == (0 if motion and benchmark == "nturgbd120-cross-set" else 3)
                slow = size == "large" and benchmark != "nturgbd-cross-subject"
                assert config["base_lr"] == (0.025 if slow else 0.05)
                recipe = ("batch_size", "num_epoch", "step", "warm_up_epoch", "weight_decay", "nesterov")
                assert [config[key] for key in recipe] == [64, 140, [110, 120], 5, 0.0004, True]


def test_resumed_tested_and_fused(archive, run_script, tmp_path):
    """Two epochs at once and in two runs end in the same weights; their scores are the test's; ensemble.py joins them.

    The run in two parts recomputes activations in its second one, which changes no number. The loss is smoothed
    cross-entropy, and the divergence loss beside it, which is 1 at the start.
    """
    whole, parts, tested = tmp_path / "whole", tmp_path / "parts", tmp_path / "tested"
    for words in ((*flags(archive, "--num-epoch", 2), "--work-dir", whole),
                  (*flags(archive, "--num-epoch", 1), "--work-dir", parts),
                  (*flags(archive, "--num-epoch", 2, "--resume", "--memory-friendly"), "--work-dir", parts),
                  (*flags(archive, "--phase", "test", "--save-score", "true", "--weights", whole / "best.pt"),
                   "--work-dir", tested)):
        done = run_main("Hyper-GCN", TREE, list(map(str, words[1:])))
        assert done.status == 0, done.err
    first, second = (torch.load(folder / "runs-2-4.pt", weights_only=True) for folder in (whole, parts))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    logs = [(folder / "log.txt").read_text() for folder in (whole, parts)]
    losses = [re.findall(r"Mean (?:training|auxiliary) loss: [0-9]+\.[0-9]{4}", log) for log in logs]
    assert losses[0] == losses[1] and losses[0][1] == "Mean auxiliary loss: 1.0000"
    settings = safe_load((whole / "config.yaml").read_text())
    assert settings["label_smoothing"] == 0.1 and f"# Parameters: {1_041_677 - 56 * 257}" in logs[0]

    best, again = (pickle.loads((folder / "epoch1_test_score.pkl").read_bytes()) for folder in (whole, tested))
    assert list(best) == [f"test_{row}" for row in range(NUM_TEST)]
    assert all(np.array_equal(best[name], again[name]) for name in best)
    done = run_script("ensemble.py", "--dataset", "ntu/xsub", "--labels", archive, "--joint-dir", whole, "--bone-dir",
                      tested, "--joint-motion-dir", whole, "--bone-motion-dir", tested, "--size", "large", cwd=TREE)
    labels = np.arange(NUM_TEST) % NUM_CLASS
    expected = 100 * np.mean(np.stack(list(best.values())).argmax(1) == labels)
    assert re.search(rf"^Top1 Acc: {expected:.4f}%$", done.stdout, re.M), done.stdout + done.stderr
    assert re.findall(r"1\.4|0\.5", done.stdout) == ["1.4", "0.5"], done.stdout


def test_weights_of_another_model_are_refused_in_one_line(archive, run_script, tmp_path):
    torch.save({"l1.gcn1.topology": torch.zeros(1)}, tmp_path / "other.pt")
    done = run_script(*flags(archive, "--weights", tmp_path / "other.pt", "--work-dir", tmp_path / "work"), cwd=TREE)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "work" / "best.pt").exists()
