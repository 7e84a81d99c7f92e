"""ST-GCN++ through its real command line, on a small archive: train, resume, test, fuse, refuse."""

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

TREE = ROOT / "ST-GCN"
CONFIGS = sorted((TREE / "config").glob("*/default.yaml"))
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


def test_the_ntu_configs_are_the_data_sets():
    from yaml import safe_load

    configs = {path.parent.name: safe_load(path.read_text()) for path in CONFIGS if "ntu" in path.parent.name}
    assert {name: (config["model_args"]["num_class"], config["train_feeder_args"]["data_path"],
                   config["test_feeder_args"]["data_path"]) for name, config in configs.items()} == {
        name: (classes, f"data/{file}", f"data/{file}") for name, classes, file in (
            ("nturgbd-cross-subject", 60, "ntu/NTU60_CS.npz"), ("nturgbd-cross-view", 60, "ntu/NTU60_CV.npz"),
            ("nturgbd120-cross-subject", 120, "ntu120/NTU120_CSub.npz"),
            ("nturgbd120-cross-set", 120, "ntu120/NTU120_CSet.npz"))}


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
        done = run_main("ST-GCN", TREE, list(map(str, words[1:])))
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
    done = run_script("benchmark_models.py", "--model", "stgcn", "--steps", 1, "--seq-len", 16, "--batch-size", 1,
                      "--device", "cpu", "--json", tmp_path / "out.json", fresh=True)  # and so is the model's process
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "out.json").read_text())["rows"][0]
    assert (row["model"], row["status"], row["parameters"]) == ("stgcn", "ok", 1_403_294)


def test_made_up_ucla_recordings_are_read(tree, tmp_path):
    """The feeder that the UCLA config names, on recordings of one frame each."""
    from skeleton_lab.data.feeders.ucla_split import recordings

    frame = np.random.default_rng(0).standard_normal((1, 20, 3)).tolist()
    for recording in recordings("val"):
        (tmp_path / f"{recording.name}.json").write_text(json.dumps({"skeletons": frame}))
    feeder = tree.load("feeders.feeder_ucla.Feeder")("joint", "val", root=str(tmp_path))
    data, labels, _ = feeder.get_batch([0, 5])
    assert data.shape == (2, 3, 52, 20, 1) and labels.tolist() == feeder.label[0:6:5]
