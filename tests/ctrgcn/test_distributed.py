"""CTR-GCN in two processes: the gradients, a training, and test scores to the bit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from tests.ranks import run_ranks
from tests.scripts.small_archive import write_pair
from tests.several import assert_synchronised, largest_difference, run_main
from tests.trees import ROOT

TREE = "CTR-GCN"
MODEL_ARGS = {"num_class": 4, "graph": "graph.ntu_rgb_d.Graph"}
NUM_TEST = 7  # in batches of 2, the last of one: four batches, of which two processes take two each


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("archive"), num_train=8, num_test=NUM_TEST, num_classes=4)[1]


def command(archive, work_dir, *more):
    data = f"data_path={archive},window_size=8"
    return ["--config", "config/nturgbd-cross-subject/default.yaml", "--train-feeder-args", data, "--test-feeder-args",
            data, "--model-args", "num_class=4", "--device", "cpu", "--num-worker", "0", "--batch-size", "4",
            "--test-batch-size", "2", "--num-epoch", "1", "--save-epoch", "0", "--work-dir", str(work_dir), *more]


@pytest.mark.parametrize("chunks", [1, 2])
def test_gradients_are_those_of_one_process(chunks):
    clips = np.random.default_rng(1).standard_normal((4, 3, 8, 25, 2), np.float32)
    assert largest_difference(TREE, "model.ctrgcn.Model", MODEL_ARGS, clips, chunks) < 1e-5


@pytest.mark.parametrize(("model", "memory_friendly"), [("model.ctrgcn.Model", False), ("model.ctrgcn.Model", True),
                                                        ("model.baseline.Model", False)])
def test_synchronised_norms_are_those_of_the_whole_batch(model, memory_friendly):
    clips = np.random.default_rng(1).standard_normal((4, 3, 8, 25, 2))
    assert_synchronised(TREE, model, MODEL_ARGS, clips, memory_friendly)


@pytest.mark.parametrize("flags", [("--sync-bn",), ("--memory-friendly", "--forward-batch-size", "1")])
def test_two_processes_train_and_the_scores_are_those_of_one(archive, tmp_path, flags):
    ends = run_ranks(2, run_main, TREE, ROOT / TREE, command(archive, tmp_path / "two", *flags))
    assert [end.status for end in ends] == [0, 0], [end.err for end in ends]
    assert "2 processes, 2 clips of each batch in each." in ends[0].out and not ends[1].out
    weights = tmp_path / "two" / "best.pt"
    assert len(torch.load(weights, weights_only=True)) == 822
    [end] = run_ranks(1, run_main, TREE, ROOT / TREE,
                      command(archive, tmp_path / "one", "--phase", "test", "--weights", str(weights), "--save-score",
                              "true"))
    assert end.status == 0, end.err
    one, two = (pickle.loads((tmp_path / name / "epoch1_test_score.pkl").read_bytes()) for name in ("one", "two"))
    assert list(one) == list(two) == [f"test_{row}" for row in range(NUM_TEST)]
    assert all(np.array_equal(one[name], two[name]) for name in one)
