"""MS-G3D with descriptors: the model's part, and the real command line on a few clips."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from skeleton_lab.nn.descriptor_fusion import fused
from tests.msg3d.clip_files import make_place
from tests.several import run_main
from tests.trees import ROOT

TREE = "MS-G3D"
CONFIG = ROOT / TREE / "config" / "nturgbd-cross-subject"
WIDTH = 6
NAMES = {"train": [f"S001C001P{i:03d}R001A001.skeleton" for i in range(4)],
         "val": [f"S001C001P{i:03d}R001A002.skeleton" for i in range(3)]}


@pytest.mark.parametrize("memory_friendly", [False, True])
def test_features_and_classifier_are_the_model(tree, memory_friendly):
    torch.manual_seed(0)
    model = tree.load("model.msg3d.Model")(5, 25, 2, 3, 2, "graph.ntu_rgb_d.AdjMatrixGraph")
    model.set_memory_friendly(memory_friendly)
    clips = torch.randn(2, 3, 6, 25, 2)
    for training in (True, False):
        model.train(training)
        whole = model(clips)
        assert torch.equal(whole, model.fc(model.features(clips)))
        assert torch.equal(whole, fused(model, "gate", WIDTH, "Model").train(training)(
            clips, torch.randn(2, WIDTH)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder with data/ntu/xsub as the configs name it, and descriptors.h5."""
    folder = make_place(tmp_path_factory.mktemp("msg3d"), NAMES, 6)
    rng = np.random.default_rng(0)
    with h5py.File(folder / "descriptors.h5", "w") as file:
        for name in (*NAMES["train"], *NAMES["val"]):  # less the suffix that the label files have
            file[name.removesuffix(".skeleton")] = rng.normal(size=(2, WIDTH)).astype(np.float16)
    return folder


def command(config, work_dir, *more):
    return ["--config", str(CONFIG / f"{config}.yaml"), "--work-dir", str(work_dir), "--device", "cpu", "--num-worker",
            "0", "--test-batch-size", "2", "--descriptors", "descriptors.h5", *more]


def test_trains_tests_and_its_skeleton_part_alone(place, tmp_path, run_script):
    checked = run_script("dataset_tools/check_descriptors.py", "--descriptors", place / "descriptors.h5", "--data",
                         place / "data/ntu/xsub/train_label.pkl", place / "data/ntu/xsub/val_label.pkl")
    assert checked.returncode == 0 and "7 of 7 samples" in checked.stdout, checked.stderr
    done = run_main(TREE, place, command("train_joint", tmp_path / "train", "--fusion", "concat", "--batch-size", "4",
                                         "--forward-batch-size", "2", "--num-epoch", "1"))
    assert done.status == 0, done.err
    weights = tmp_path / "train" / "best.pt"
    assert sum(not key.startswith("fusion.") for key in torch.load(weights, weights_only=True)) == 810
    tested = run_main(TREE, place, command("test_joint", tmp_path / "test", "--fusion", "concat", "--weights",
                                           str(weights)))
    assert tested.status == 0, tested.err
    top1 = [line for line in done.out.splitlines() if "Top 1" in line][-1]
    assert top1 in tested.out
    refused = run_main(TREE, place, command("test_joint", tmp_path / "test", "--weights", str(weights)))
    assert refused.status == 2 and "need each other" in refused.err
    words = command("test_joint", tmp_path / "part", "--weights", str(weights))
    at = words.index("--descriptors")
    alone = run_main(TREE, place, words[:at] + words[at + 2:])
    assert alone.status == 0 and "the skeleton part alone is loaded" in alone.out, alone.err
