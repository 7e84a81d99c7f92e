"""A feeder may give more than clips and labels: it reaches the model in training, tests, and several processes."""

import numpy as np

from tests.skeleton_lab.train.conftest import assert_goes_on_and_shares, assert_same_weights, run_here

FLAGS = ("--feeder", "further_feeder.Feeder", "--model", "toy_model_further.Model", "--train-feeder-args", "noise=0.0",
         "--forward-batch-size", "3")


def test_a_run_uses_it_and_goes_on_exactly(tmp_path):
    done = run_here(tmp_path / "whole", *FLAGS)
    assert done.returncode == 0, done.stderr
    assert_goes_on_and_shares(tmp_path, *FLAGS)
    assert run_here(tmp_path / "batches", *FLAGS, "--feeder", "further_feeder.BatchFeeder").returncode == 0
    assert_same_weights(tmp_path / "whole" / "best.pt", tmp_path / "batches" / "best.pt")
    tested = run_here(tmp_path / "test", *FLAGS, "--phase", "test", "--weights", str(tmp_path / "whole" / "best.pt"))
    assert tested.returncode == 0 and "Top1: 100.00%" in tested.stdout  # the class is told by it


def test_a_batch_that_diverges_is_saved_with_it(tmp_path):
    done = run_here(tmp_path, *FLAGS, "--model", "toy_model_further.Exploding")
    assert done.returncode == 2 and "the training loss became nan" in done.stderr
    with np.load(tmp_path / "diverged_batch.npz") as saved:
        assert saved["data"].shape == (6, 3, 4, 2, 1) and saved["input_2"].shape == (6, 4)
        assert (saved["input_2"] == saved["labels"][:, None]).all()


def test_a_model_that_does_not_take_it_is_refused_in_a_line(tmp_path):
    done = run_here(tmp_path, "--feeder", "further_feeder.Feeder", "--model", "toy_model_plain.Model")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "the feeder gives 2 inputs, the clips and more, and Model does not take so many" in done.stderr
