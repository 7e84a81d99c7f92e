"""CTR-GCN and its baseline with descriptors: the models' part, and the real command line on a small archive."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from skeleton_lab.data.feeders.samples import read_samples
from skeleton_lab.nn.descriptor_fusion import fused
from skeleton_lab.nn.inputs import Inputs, called
from tests.scripts.small_archive import write_pair
from tests.several import run_main
from tests.trees import ROOT

TREE = ROOT / "CTR-GCN"
WIDTH = 6


@pytest.mark.parametrize("name", ["model.ctrgcn.Model", "model.baseline.Model"])
@pytest.mark.parametrize("memory_friendly", [False, True])
def test_features_and_classifier_are_the_model(tree, name, memory_friendly):
    torch.manual_seed(0)
    model = tree.load(name)(num_class=5, graph="graph.ntu_rgb_d.Graph", drop_out=0.5)
    model.set_memory_friendly(memory_friendly)
    clips = torch.randn(3, 3, 8, 25, 2)
    batch = Inputs((clips, torch.randn(3, WIDTH)))
    joined = fused(model, "late", WIDTH, name)
    for training in (True, False):
        joined.train(training)
        outputs = []
        for run in (model, lambda clips: model.fc(model.features(clips)), lambda _: called(joined, batch)):
            torch.manual_seed(1)  # of the model's dropout, which comes before that of the fusion
            outputs.append(run(clips))
        assert all(torch.equal(outputs[0], output) for output in outputs[1:])
        assert model.features(clips).shape == (3, model.fc.in_features)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A converted archive and descriptors for it."""
    folder = tmp_path_factory.mktemp("data")
    return write_pair(folder, num_train=8, num_test=5, num_classes=4)[1], folder / "d.h5"


def command(data, *more):
    archive, vectors = data
    options = f"data_path={archive},window_size=8"
    words = ("--config", "config/nturgbd-cross-subject/default.yaml", "--train-feeder-args", options,
             "--test-feeder-args", options, "--model-args", "num_class=4", "--device", "cpu", "--num-worker", "1",
             "--batch-size", "4", "--test-batch-size", "4", "--num-epoch", "1", "--save-epoch", "0", "--half",
             "--descriptors", vectors, "--fusion", "gate", *more)
    return list(map(str, words))


def test_the_way_from_descriptors_to_a_fused_model(data, run_script, tmp_path):
    archive, vectors = data
    made = run_script("dataset_tools/make_synthetic_descriptors.py", "--data", archive, "--output", vectors, "--width",
                      str(WIDTH), "--moments", "3", "--dtype", "float16")
    assert made.returncode == 0, made.stderr
    checked = run_script("dataset_tools/check_descriptors.py", "--descriptors", vectors, "--data", archive)
    assert checked.returncode == 0 and "13 of 13 samples" in checked.stdout, checked.stderr
    trained = run_main("CTR-GCN", TREE, command(data, "--forward-batch-size", "1", "--memory-friendly", "--work-dir",
                                                tmp_path / "train"))
    assert trained.status == 0, trained.err
    weights = torch.load(tmp_path / "train" / "best.pt", weights_only=True)
    assert sum(not key.startswith("fusion.") for key in weights) == 822
    tested = run_main("CTR-GCN", TREE, command(data, "--phase", "test", "--weights", tmp_path / "train" / "best.pt",
                                               "--save-score", "true", "--work-dir", tmp_path / "test"))
    assert tested.status == 0, tested.err
    before, after = (pickle.loads((tmp_path / name / "epoch1_test_score.pkl").read_bytes())
                     for name in ("train", "test"))
    assert list(before) == list(after) == read_samples(archive)["test"].names
    assert all(np.array_equal(before[name], after[name]) for name in before)
