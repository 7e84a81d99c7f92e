"""CTR-GCN through its real command line, on a small archive: train, test, resume, ensemble, refuse."""

from __future__ import annotations

import os
import pickle
import re
import signal
import time

import numpy as np
import pytest
import torch
import yaml

from tests.forked import Started
from tests.scripts.small_archive import write_pair
from tests.several import run_main
from tests.trees import ROOT

TREE = ROOT / "CTR-GCN"
CONFIGS = sorted((TREE / "config").glob("*/default.yaml"))
NTU = "config/nturgbd-cross-subject/default.yaml"
# Wide enough to be the real model, short enough for seconds: 8 + 6 clips of 8 frames.
SHORT = ("--device", "cpu", "--num-worker", "0", "--batch-size", "4", "--test-batch-size", "4", "--num-epoch", "1",
         "--save-epoch", "0")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A Kaggle archive and the converted one of the same clips."""
    return write_pair(tmp_path_factory.mktemp("archives"), num_train=8, num_test=6, num_classes=4)


@pytest.fixture(scope="module")
def trained(archives, tmp_path_factory, run_script):
    """Work directories of one training from each of the two archives."""
    folders = []
    for archive in archives:
        folder = tmp_path_factory.mktemp("work") / archive.stem
        done = run_script("main.py", *flags(archive), "--work-dir", folder, cwd=TREE)
        assert done.returncode == 0, done.stderr
        folders.append(folder)
    return folders


def flags(archive, *more: str) -> tuple[str, ...]:
    data = f"data_path={archive},window_size=8"
    return ("--config", NTU, "--train-feeder-args", data, "--test-feeder-args", data, "--model-args", "num_class=4",
            *SHORT, *more)


def test_the_ntu_configs_hold_the_published_recipe():
    configs = {path.parent.name: yaml.safe_load(path.read_text()) for path in CONFIGS if "ntu" in path.parent.name}
    assert {name: (c["model_args"]["num_class"], c["train_feeder_args"]["data_path"])
            for name, c in configs.items()} == {
        "nturgbd-cross-subject": (60, "data/ntu/NTU60_CS.npz"), "nturgbd-cross-view": (60, "data/ntu/NTU60_CV.npz"),
        "nturgbd120-cross-subject": (120, "data/ntu120/NTU120_CSub.npz"),
        "nturgbd120-cross-set": (120, "data/ntu120/NTU120_CSet.npz")}
    for config in configs.values():
        assert (config["base_lr"], config["step"], config["warm_up_epoch"], config["num_epoch"], config["batch_size"],
                config["weight_decay"], config["nesterov"]) == (0.1, [35, 55], 5, 65, 64, 0.0004, True)


def test_trains_the_same_from_either_layout(trained):
    kaggle, converted = (torch.load(folder / "runs-1-2.pt", weights_only=True) for folder in trained)
    assert list(kaggle) == list(converted) and len(kaggle) == 822
    assert all(torch.equal(kaggle[key], converted[key]) for key in kaggle)


def test_scores_are_named_by_row(trained):
    scores = pickle.loads((trained[0] / "epoch1_test_score.pkl").read_bytes())
    assert list(scores) == [f"test_{row}" for row in range(6)]
    assert all(score.shape == (4,) and score.dtype == np.float32 for score in scores.values())


def test_tests_published_form_of_weights(trained, archives, run_script, tmp_path):
    """A file as upstream writes it: an ordered mapping, keys with the data-parallel prefix."""
    weights = torch.load(trained[0] / "best.pt", weights_only=True)
    torch.save({f"module.{key}": value for key, value in weights.items()}, tmp_path / "runs-9-99.pt")
    done = run_script("main.py", *flags(archives[0], "--phase", "test", "--weights", tmp_path / "runs-9-99.pt",
                                        "--work-dir", tmp_path / "work", "--save-score", "true"), cwd=TREE)
    assert done.returncode == 0, done.stderr
    ours, again = (pickle.loads((folder / "epoch1_test_score.pkl").read_bytes())
                   for folder in (trained[0], tmp_path / "work"))
    assert all(np.array_equal(ours[name], again[name]) for name in ours)
    assert {"runs-9-99_right.txt", "runs-9-99_wrong.txt"} <= {path.name for path in tmp_path.iterdir()}


def test_ensemble_joins_by_name_and_prints_upstream_lines(trained, archives, run_script, tmp_path):
    scores = pickle.loads((trained[0] / "epoch1_test_score.pkl").read_bytes())
    (tmp_path / "epoch1_test_score.pkl").write_bytes(pickle.dumps(dict(reversed(scores.items()))))
    dirs = ("--joint-dir", trained[0], "--bone-dir", tmp_path)
    done = run_script("ensemble.py", "--dataset", "ntu/xsub", "--labels", archives[1], *dirs, cwd=TREE)
    assert done.returncode == 0, done.stderr
    labels = np.arange(6) % 4
    expected = 100 * np.mean(np.stack(list(scores.values())).argmax(1) == labels)
    assert re.search(rf"^Top1 Acc: {expected:.4f}%$", done.stdout, re.M), done.stdout
    assert re.search(r"^Top5 Acc: 100\.0000%$", done.stdout, re.M)


def test_ensemble_refuses_what_does_not_fit(trained, archives, run_script, tmp_path):
    scores = pickle.loads((trained[0] / "epoch1_test_score.pkl").read_bytes())
    scores.popitem()
    (tmp_path / "epoch1_test_score.pkl").write_bytes(pickle.dumps(scores))
    common = ("--dataset", "ntu/xsub", "--labels", archives[0], "--joint-dir", trained[0])
    for words, part in ((("--bone-dir", tmp_path), "1 of"), (("--bone-dir", tmp_path / "none"), "no score file"),
                        (("--bone-dir", trained[1], "--weights", "1"), "1 weights for 2 streams"),
                        (("--joint-motion-dir", trained[1], "--alpha", "2"), "--alpha")):
        done = run_script("ensemble.py", *common, *words, cwd=TREE)
        assert done.returncode == 2 and part in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(("damage", "part"), [
    ("missing", "no such file"), ("truncated", "not complete"), ("no key", "x_train"), ("shape", "shape"),
    ("label", "num_class"), ("nan", "clip"),
])
def test_bad_archives_are_one_line_and_status_2(archives, tmp_path, damage, part):
    arrays = dict(np.load(archives[0]))
    path, words = tmp_path / "bad.npz", ()
    if damage == "no key":
        del arrays["x_train"]
    elif damage == "shape":
        arrays["x_train"] = arrays["x_train"][..., :149]
    elif damage == "nan":
        arrays["x_train"][:, 2, 5] = np.nan
    elif damage == "label":
        words = ("--model-args", "num_class=2")
    if damage != "missing":
        np.savez(path, **arrays)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    done = run_main("CTR-GCN", TREE, flags(path, "--work-dir", str(tmp_path / "work"), *words))
    assert done.status == 2, done.out + done.err
    assert "Traceback" not in done.err
    assert done.err.strip().splitlines()[-1].startswith("error: ")
    assert part in done.err.lower()


def test_weights_of_another_architecture_name_keys(trained, archives, run_script, tmp_path):
    done = run_script("main.py", *flags(archives[0], "--model", "model.baseline.Model", "--work-dir", tmp_path / "w",
                                        "--weights", trained[0] / "best.pt"), cwd=TREE)
    assert done.returncode == 2 and "l1.gcn1.alpha" in done.stderr and done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def untouched(archives, tmp_path_factory):
    """Work directory of three epochs in one go, the clips loaded in the main process."""
    folder = tmp_path_factory.mktemp("untouched")
    done = run_main("CTR-GCN", TREE, [*flags(archives[0], "--num-epoch", "3"), "--work-dir", str(folder)])
    assert done.status == 0, done.err
    return folder


@pytest.mark.parametrize("workers", ["1", "4"])
def test_killed_and_resumed_it_ends_in_the_same_weights(archives, untouched, run_script, tmp_path, workers):
    """SIGKILL in the middle of the second epoch."""
    words = flags(archives[0], "--num-epoch", "3")
    command = ["main.py", *map(str, words), "--num-worker", workers, "--work-dir", str(tmp_path / "w")]
    process = Started(command, TREE, os.environ)
    log = tmp_path / "w" / "log.txt"
    while not (log.exists() and "Training epoch: 2" in log.read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "w" / "runs-3-6.pt").exists()
    resumed = run_script("main.py", *words, "--num-worker", workers, "--resume", "--work-dir", tmp_path / "w", cwd=TREE)
    assert resumed.returncode == 0 and "Resuming in epoch 2" in resumed.stdout, resumed.stderr
    first, second = (torch.load(folder / "runs-3-6.pt", weights_only=True) for folder in (untouched, tmp_path / "w"))
    assert all(torch.equal(first[key], second[key]) for key in first)
