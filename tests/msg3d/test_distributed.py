"""MS-G3D in two processes: the gradients, a training, and test scores to the bit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tests.msg3d.clip_files import make_place, numbered
from tests.ranks import run_ranks
from tests.several import assert_synchronised, largest_difference, run_main
from tests.trees import ROOT

TREE = "MS-G3D"
CONFIG = ROOT / TREE / "config" / "nturgbd-cross-subject"
MODEL_ARGS = {"num_class": 5, "num_point": 25, "num_person": 2, "num_gcn_scales": 3, "num_g3d_scales": 2,
              "graph": "graph.ntu_rgb_d.AdjMatrixGraph"}
NUM_TRAIN, NUM_VAL, NUM_FRAMES = 4, 5, 6  # tests in batches of 2, the last of one: three, of which a process takes two


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder with data/ntu/xsub as the configs name it."""
    return make_place(tmp_path_factory.mktemp("msg3d"), numbered(train=NUM_TRAIN, val=NUM_VAL), NUM_FRAMES)


def command(config, work_dir, *more):
    return ["--config", str(CONFIG / f"{config}.yaml"), "--work-dir", str(work_dir), "--device", "cpu", "--num-worker",
            "0", "--test-batch-size", "2", *more]


@pytest.mark.parametrize("chunks", [1, 2])
def test_gradients_are_those_of_one_process(chunks):
    clips = np.random.default_rng(1).standard_normal((4, 3, 6, 25, 2), np.float32)
    assert largest_difference(TREE, "model.msg3d.Model", MODEL_ARGS, clips, chunks) < 1e-5


@pytest.mark.parametrize("memory_friendly", [False, True])
def test_synchronised_norms_are_those_of_the_whole_batch(memory_friendly):
    clips = np.random.default_rng(1).standard_normal((2, 3, 6, 25, 2))
    assert_synchronised(TREE, "model.msg3d.Model", MODEL_ARGS, clips, memory_friendly)


def test_two_processes_train_and_the_scores_are_those_of_one(place, tmp_path):
    train = command("train_joint", tmp_path / "two", "--batch-size", "4", "--forward-batch-size", "1", "--num-epoch",
                    "1", "--save-score", "true", "--memory-friendly", "--sync-bn")
    ends = run_ranks(2, run_main, TREE, place, train)
    assert [end.status for end in ends] == [0, 0], [end.err for end in ends]
    assert "2 processes, 2 clips of each batch in each." in ends[0].out and not ends[1].out
    test = command("test_joint", tmp_path / "one", "--weights", str(tmp_path / "two" / "best.pt"), "--save-score",
                   "true")
    [end] = run_ranks(1, run_main, TREE, place, test)
    assert end.status == 0, end.err
    one, two = (pickle.loads((tmp_path / name / "epoch1_test_score.pkl").read_bytes()) for name in ("one", "two"))
    assert list(one) == list(two) == [f"val{i}" for i in range(NUM_VAL)]
    assert all(np.array_equal(one[name], two[name]) for name in one)
