"""--descriptors and --fusion through the engine's command line, on the toy tree."""

from __future__ import annotations

import csv
import os
import pickle
import signal
import time

import h5py
import numpy as np
import pytest
import torch

from tests.ranks import run_ranks
from tests.skeleton_lab.train.conftest import assert_same_weights, run_here
from tests.skeleton_lab.train.test_resume import start, wait_for

MODEL = ("--model", "toy_model_features.Model")
NUM_CLIPS, WIDTH = 24, 4
KINDS = ("late", "concat", "gate")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """Descriptors that name the class, one vector for even clips and three moments for odd ones."""
    path = tmp_path_factory.mktemp("vectors") / "d.h5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for i in range(NUM_CLIPS):
            moments = rng.standard_normal((3, WIDTH)) * 0.2 + np.eye(3, WIDTH)[i % 3]
            file[f"clip_{i}"] = (moments if i % 2 else moments[0]).astype(np.float16)
    return path


def flags(vectors, kind="late", *more):
    return (*MODEL, "--descriptors", str(vectors), "--fusion", kind, *more)


def scores_in(folder):
    return pickle.loads((folder / "epoch1_test_score.pkl").read_bytes())


@pytest.fixture(scope="module")
def fused_run(vectors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fused") / "work"
    done = run_here(folder, *flags(vectors))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_trains_and_tests_the_same(vectors, tmp_path, kind):
    done = run_here(tmp_path / "train", *flags(vectors, kind))
    assert done.returncode == 0, done.stderr
    weights = torch.load(tmp_path / "train" / "best.pt", weights_only=True)
    own = [key for key in weights if not key.startswith("fusion.")]
    assert own == list(weights)[:len(own)] and own[:2] == ["hidden.weight", "hidden.bias"]
    assert weights["fusion.standardize.count"] >= NUM_CLIPS
    again = run_here(tmp_path / "test", *flags(vectors, kind), "--phase", "test", "--save-score", "true", "--weights",
                     str(tmp_path / "train" / "best.pt"))
    assert again.returncode == 0, again.stderr
    before, after = (scores_in(tmp_path / name) for name in ("train", "test"))
    assert list(before) == list(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_without_descriptors_nothing_changes(tmp_path):
    """The model with features trains as the one without, whose code fusion never sees."""
    for name, model in (("a", ()), ("b", MODEL)):
        assert run_here(tmp_path / name, *model).returncode == 0
    assert_same_weights(tmp_path / "a" / "best.pt", tmp_path / "b" / "best.pt")
    assert "fusion: null" in (tmp_path / "b" / "config.yaml").read_text()


@pytest.mark.parametrize("more", [("--num-worker", "2"), ("--memory-friendly",)])
def test_the_same_numbers_by_any_number_of_loader_processes_and_with_less_memory(vectors, fused_run, tmp_path, more):
    done = run_here(tmp_path, *flags(vectors, "late", *more))
    assert done.returncode == 0, done.stderr
    assert_same_weights(fused_run / "best.pt", tmp_path / "best.pt")


@pytest.mark.parametrize("more", [("--forward-batch-size", "3"), ("--half",)])
def test_trains_in_chunks_and_in_mixed_precision(vectors, tmp_path, more):
    done = run_here(tmp_path, *flags(vectors, "gate"), *more)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "history.csv") as file:
        assert float(list(csv.DictReader(file))[-1]["test_top1"]) > 0.5


def test_resumes_to_the_bit(vectors, fused_run, tmp_path):
    process = start(tmp_path, *flags(vectors))
    wait_for(tmp_path, "Training epoch: 2", process)
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)
    other = run_here(tmp_path, *flags(vectors, "gate"), "--resume")
    assert other.returncode == 2 and "fusion: late before, gate now" in other.stderr
    done = run_here(tmp_path, *flags(vectors), "--train-feeder-args", "clips=24,delay_s=0.02", "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_weights(fused_run / "training_state.pt", tmp_path / "training_state.pt")


def test_skeleton_weights_start_a_fused_run_and_fused_ones_an_unfused(vectors, fused_run, tmp_path):
    assert run_here(tmp_path / "plain", *MODEL).returncode == 0
    plain = tmp_path / "plain" / "best.pt"
    scores = {}
    for name, words in (("plain", ()), ("fused", ("--descriptors", str(vectors), "--fusion", "concat"))):
        done = run_here(tmp_path / name, *MODEL, *words, "--phase", "test", "--weights", str(plain), "--save-score",
                        "true")
        assert done.returncode == 0, done.stderr
        scores[name] = scores_in(tmp_path / name)
    assert "keeping fresh values: fusion.standardize.count" in done.stdout
    assert all(np.array_equal(scores["plain"][key], scores["fused"][key]) for key in scores["plain"])
    done = run_here(tmp_path / "part", *MODEL, "--phase", "test", "--weights", str(fused_run / "best.pt"))
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if "the skeleton part alone is loaded" in line]) == 1
    done = run_here(tmp_path / "other", *flags(vectors, "gate"), "--phase", "test", "--weights",
                    str(fused_run / "best.pt"))
    assert done.returncode == 2 and "fusion.late.weight" in done.stderr


def train(work_dir, *words):
    return run_here(work_dir, *words)


def test_two_processes_train_together_and_one_tests_the_same(vectors, tmp_path):
    ends = run_ranks(2, train, tmp_path / "two", *flags(vectors, "concat"))
    assert [end.returncode for end in ends] == [0, 0], [end.stderr for end in ends]
    assert run_here(tmp_path / "one", *flags(vectors, "concat"), "--phase", "test", "--save-score", "true", "--weights",
                    str(tmp_path / "two" / "best.pt")).returncode == 0
    two, one = scores_in(tmp_path / "two"), scores_in(tmp_path / "one")
    assert list(two) == list(one) and all(np.array_equal(one[name], two[name]) for name in one)


def test_model_size_counts_the_fusion(vectors, tmp_path):
    done = run_here(tmp_path, *flags(vectors), "--phase", "model_size")
    assert done.returncode == 0 and f"# Parameters: {3 * 8 + 8 + 16 + 8 * 3 + 3 + WIDTH * 3 + 3}" in done.stdout


@pytest.mark.parametrize(("words", "part"), [
    (("--fusion", "late"), "need each other"), (("--descriptors", "{}"), "need each other"),
    (("--descriptors", "no.h5", "--fusion", "late"), "no.h5: no such file"),
    (("--descriptors", "{}", "--fusion", "late", "--model", "toy_model.Model"), "has no features"),
    (("--descriptors", "{}", "--fusion", "late", "--test-feeder-args", "clips=26"),
     "has no descriptor of 2 of the 26 samples of test_feeder_args (clip_24, clip_25)"),
    (("--descriptors", "{}", "--fusion", "middle"), "'middle' is none of late, concat, gate"),
])
def test_refuses_in_one_line(vectors, tmp_path, words, part):
    done = run_here(tmp_path, *MODEL, *(word.format(vectors) for word in words))
    assert done.returncode == 2 and part in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_bad_vector_ends_the_run_in_one_line(tmp_path, workers):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for i in range(NUM_CLIPS):
            file[f"clip_{i}"] = np.full(WIDTH, np.nan if i == 7 else i, np.float32)
    done = run_here(tmp_path / "work", *flags(tmp_path / "d.h5", "late", "--num-worker", workers))
    [line] = done.stderr.strip().splitlines()
    assert done.returncode == 2 and "'clip_7' holds NaN" in line
