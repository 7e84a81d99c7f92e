"""A whole run through the real command line: files, log, test phase, refusals."""

from __future__ import annotations

import csv
import pickle
import re

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.skeleton_lab.train.conftest import assert_same_weights, run_here


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One finished training of the toy tree: (work directory, its output)."""
    folder = tmp_path_factory.mktemp("trained") / "work"
    done = run_here(folder, "--log-interval", "3")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_leaves_the_promised_files(trained):
    folder, _ = trained
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.yaml", "log.txt", "toy_model.py", "runs", "best.pt", "training_state.pt", "history.csv",
                     "curves.png", "confusion_matrix.png", "epoch1_test_score.pkl", "epoch1_test_each_class_acc.csv",
                     "epoch3_test_each_class_acc.csv", "runs-1-4.pt", "runs-2-8.pt", "runs-3-12.pt"}
    assert not [name for name in names if name.endswith(".part")]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_weights_are_a_plain_ordered_mapping_of_cpu_tensors(trained):
    weights = torch.load(trained[0] / "runs-3-12.pt", weights_only=True)
    assert list(weights)[:2] == ["hidden.weight", "hidden.bias"]
    assert all(value.device.type == "cpu" for value in weights.values())


def test_log_has_the_lines_that_tools_parse(trained):
    log = (trained[0] / "log.txt").read_text()
    assert re.search(r"\[ \w{3} \w{3} +\d+ [\d:]+ \d{4} \] Training epoch: 1\n", log)
    for pattern in (r"using warm up, epoch: 1", r"Parameters:", r"# Parameters: 75", r"\tTop1: \d+\.\d\d%",
                    r"\tMean training loss: \d\.\d{4}\.  Mean training acc: \d+\.\d\d%\.",
                    r"\tTime consumption: \[Data\]\d\d%, \[Network\]\d\d+%", r"Eval epoch: 3",
                    r"\tMean test loss of 4 batches: \d", r"Last epoch: 3", r"Best accuracy: \d\.\d+",
                    r"picked on the test split", r"\tBatch 3/4: loss"):
        assert re.search(pattern, log), pattern


def test_last_and_best_are_both_told(trained):
    output = (trained[0] / "log.txt").read_text()
    with open(trained[0] / "history.csv") as file:
        top1 = [float(row["test_top1"]) for row in csv.DictReader(file)]
    assert float(re.search(r"Best accuracy: (\S+)", output)[1]) == pytest.approx(max(top1), abs=1e-5)
    assert int(re.search(r"Epoch number: (\d+)", output)[1]) == 1 + top1.index(max(top1))
    assert float(re.search(r"Last epoch: 3, accuracy: (\S+)", output)[1]) == pytest.approx(top1[-1], abs=1e-5)
    best = 1 + top1.index(max(top1))
    assert f"Last epoch (3): top-1 {100 * top1[-1]:.2f} % of the test clips\n" in trained[1]
    assert f"Best epoch ({best}): top-1 {100 * max(top1):.2f} % of the test clips\n" in trained[1]
    assert "Model: toy_model.Model, 75 parameters trained\n" in trained[1]


def test_a_finished_run_says_so_and_stays_as_it_is(trained):
    before = {path: path.read_bytes() for path in trained[0].iterdir() if path.is_file()}
    done = run_here(trained[0], "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    assert "finished already, after 3 epochs; nothing to do. A larger --num-epoch goes on from here." in done.stdout
    assert "Testing" not in done.stdout and "Best epoch" not in done.stdout
    assert {path: path.read_bytes() for path in trained[0].iterdir() if path.is_file()} == before


def test_tensorboard_scalars_and_steps(trained):
    train = EventAccumulator(str(trained[0] / "runs" / "train")).Reload()
    assert [event.step for event in train.Scalars("loss")] == list(range(1, 13))
    assert [event.value for event in train.Scalars("epoch")] == [0, 1, 2]
    assert [event.step for event in train.Scalars("epoch")] == [0, 4, 8]
    rates = {event.step: event.value for event in train.Scalars("lr")}
    assert (rates[4], rates[5], rates[12]) == pytest.approx((0.1, 0.1, 0.01))
    val = EventAccumulator(str(trained[0] / "runs" / "val")).Reload()
    assert [event.step for event in val.Scalars("acc")] == [4, 8, 12, 12]


def test_class_table_is_recalls_then_confusion(trained):
    with open(trained[0] / "epoch3_test_each_class_acc.csv") as file:
        rows = [[float(cell) for cell in row] for row in csv.reader(file)]
    recalls, counts = np.array(rows[0]), np.array(rows[1:])
    assert counts.shape == (3, 3) and counts.sum() == 24
    np.testing.assert_allclose(recalls, np.diag(counts) / counts.sum(axis=1))


def test_scores_are_those_of_the_best_weights(trained, toy, tmp_path):
    folder, _ = trained
    done = toy(tmp_path / "test", "--phase", "test", "--weights", str(folder / "best.pt"), "--save-score", "true")
    assert done.returncode == 0, done.stderr
    ours, again = (pickle.loads((path / "epoch1_test_score.pkl").read_bytes()) for path in (folder, tmp_path / "test"))
    assert list(ours) == [f"clip_{i}" for i in range(24)]
    assert all(np.array_equal(ours[name], again[name]) and ours[name].dtype == np.float32 for name in ours)


def test_sample_lists_stand_beside_the_tested_weights(trained, toy, tmp_path):
    weights = tmp_path / "copy.pt"
    weights.write_bytes((trained[0] / "best.pt").read_bytes())
    assert toy(tmp_path / "test", "--phase", "test", "--weights", str(weights)).returncode == 0
    right = [line.split(",") for line in (tmp_path / "copy_right.txt").read_text().split()]
    wrong = [line.split(",") for line in (tmp_path / "copy_wrong.txt").read_text().split()]
    assert len(right) == 24
    expected = [[str(i), *pair] for i, pair in enumerate(right) if pair[0] != pair[1]]
    assert wrong == expected


def test_a_test_leaves_a_training_config_alone(trained, toy):
    folder, _ = trained
    before = (folder / "config.yaml").read_text()
    assert toy(folder, "--phase", "test", "--weights", str(folder / "best.pt")).returncode == 0
    assert (folder / "config.yaml").read_text() == before


def test_the_saved_config_repeats_the_run(trained, toy, tmp_path):
    folder, _ = trained
    done = toy(tmp_path / "again", "--config", str(folder / "config.yaml"))
    assert done.returncode == 0, done.stderr
    assert_same_weights(folder / "runs-3-12.pt", tmp_path / "again" / "runs-3-12.pt")


def test_a_used_work_directory_is_refused_unless_told(trained, toy):
    folder, _ = trained
    before = (folder / "best.pt").stat().st_mtime_ns
    done = toy(folder)
    assert done.returncode == 2
    assert "--resume" in done.stderr and "--overwrite" in done.stderr and done.stderr.count("\n") == 1
    assert (folder / "best.pt").stat().st_mtime_ns == before


def test_overwrite_deletes_the_run_and_nothing_else(toy, tmp_path):
    assert toy(tmp_path, "--num-epoch", "2").returncode == 0
    (tmp_path / "notes.txt").write_text("mine")
    assert toy(tmp_path, "--num-epoch", "1", "--overwrite").returncode == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "runs-2-8.pt").exists() and (tmp_path / "runs-1-4.pt").exists()


def test_model_size_prints_and_writes_nothing(toy, tmp_path):
    done = toy(tmp_path / "none", "--phase", "model_size")
    assert done.returncode == 0 and "# Parameters: 75" in done.stdout
    assert not (tmp_path / "none").exists()


def test_chunks_of_a_batch_give_the_gradient_of_the_whole(toy, tmp_path):
    """One step with 24 clips at once, and in chunks of 6, of a model without BatchNorm."""
    for name, size in (("whole", "24"), ("chunks", "6")):
        done = toy(tmp_path / name, "--batch-size", "24", "--forward-batch-size", size, "--num-epoch", "1", "--model",
                   "toy_model_plain.Model", "--optimizer", "SGD")
        assert done.returncode == 0, done.stderr
    a, b = (torch.load(tmp_path / name / "runs-1-1.pt", weights_only=True) for name in ("whole", "chunks"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-5, atol=1e-7)


def test_a_process_of_its_own_does_the_same(trained, toy_process, tmp_path):
    done = toy_process(tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_weights(trained[0] / "runs-3-12.pt", tmp_path / "runs-3-12.pt")
    refused = toy_process(tmp_path)
    assert refused.returncode == 2 and refused.stderr.startswith("error: ") and refused.stderr.count("\n") == 1


@pytest.mark.parametrize("workers", ["1", "4"])
def test_the_number_of_workers_changes_no_bit(trained, toy, tmp_path, workers):
    done = toy(tmp_path, "--num-worker", workers)
    assert done.returncode == 0, done.stderr
    assert_same_weights(trained[0] / "runs-3-12.pt", tmp_path / "runs-3-12.pt")


def test_another_seed_is_another_run(trained, toy, tmp_path):
    assert toy(tmp_path, "--seed", "2").returncode == 0
    with pytest.raises(AssertionError):
        assert_same_weights(trained[0] / "runs-3-12.pt", tmp_path / "runs-3-12.pt")


def test_save_rules(toy, tmp_path):
    assert toy(tmp_path, "--num-epoch", "5", "--save-epoch", "1", "--save-interval", "2", "--eval-interval",
               "3").returncode == 0
    assert {path.name for path in tmp_path.glob("runs-*.pt")} == {"runs-2-8.pt", "runs-4-16.pt", "runs-5-20.pt"}
    assert {path.name for path in tmp_path.glob("epoch*_test_each*")} == {
        "epoch3_test_each_class_acc.csv", "epoch5_test_each_class_acc.csv"}


def test_half_trains_on_the_cpu(toy, tmp_path):
    done = toy(tmp_path, "--half")
    assert done.returncode == 0, done.stderr
    assert toy(tmp_path / "b", "--half", "--amp-dtype", "fp16").returncode == 2


def test_weights_can_start_a_run_and_parts_can_be_ignored(trained, toy, tmp_path):
    done = toy(tmp_path, "--weights", str(trained[0] / "best.pt"), "--ignore-weights", "fc", "--model-args",
               "num_class=3", "--num-epoch", "1")
    assert done.returncode == 0, done.stderr
    assert "Ignoring weights: fc.weight" in done.stdout
    assert "keeping fresh values: fc.weight, fc.bias" in done.stdout
    tested = toy(tmp_path / "test", "--config", str(tmp_path / "config.yaml"), "--phase", "test", "--weights",
                 str(tmp_path / "best.pt"))
    assert tested.returncode == 0, tested.stderr
    assert "ignore_weights is for training" in tested.stdout and "fresh" not in tested.stdout


@pytest.mark.parametrize(("flags", "parts"), [
    (("--model", "toy_model.Modell"), ("toy_model.Modell", "did you mean 'Model'")),
    (("--model", "nowhere.Model"), ("no module named 'nowhere'; check the spelling",)),
    (("--model", "toy_modle.Model"), ("no module named 'toy_modle'; did you mean 'toy_model'?",)),
    (("--model", "skeleton_lab.nn.modle.Model"), ("no module named 'skeleton_lab.nn.modle'; did you mean "
                                                  "'skeleton_lab.nn.model'?",)),
    (("--model", "Model"), ("is not a dotted path",)),
    (("--feeder", "toy_feeder.Feed"), ("toy_feeder.Feed", "did you mean 'Feeder'")),
    (("--train-feeder-args", "clip=3"), ("train_feeder_args", "takes no option 'clip'", "did you mean 'clips'")),
    (("--model-args", "widht=3"), ("model_args", "did you mean 'width'")),
    (("--train-feeder-args", "clips=2"), ("train_feeder_args", "make no batch of 6")),
    (("--model-args", "num_class=2"), ("label 2 is out of range", "num_class")),
    (("--weights", "missing.pt"), ("missing.pt: no such file",)),
    (("--phase", "test"), ("--weights",)),
    (("--memory-friendly",), ("set_memory_friendly",)),
    (("--model-args", "explode_at=3"), ("loss became nan in epoch 1, batch 3", "learning rate 0.1", "clip_")),
    (("--resume", "--overwrite"), ("contradict",)),
    (("--sync-bn", "--compile"), ("contradict",)),
])
def test_bad_input_is_one_line_and_status_2(toy, tmp_path, flags, parts):
    done = toy(tmp_path / "new" / "run", *flags)
    assert done.returncode == 2, done.stdout + done.stderr
    assert not (tmp_path / "new").exists() or (tmp_path / "new/run/log.txt").exists()  # what was used
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for part in parts:
        assert part in last


def test_weights_of_another_model_name_the_keys(toy, tmp_path):
    torch.save({"layer9.weight": torch.zeros(3)}, tmp_path / "other.pt")
    torch.save({"fc.weight": torch.zeros(9, 9)}, tmp_path / "wide.pt")
    (tmp_path / "garbage.pt").write_bytes(b"not a weight file")
    for name, part in (("other", "layer9.weight"), ("wide", "fc.weight is (9, 9), not (3, 8)"),
                       ("garbage", "garbage.pt")):
        done = toy(tmp_path / "w", "--weights", str(tmp_path / f"{name}.pt"))
        assert done.returncode == 2 and part in done.stderr and "Traceback" not in done.stderr


def test_weights_that_would_run_code_run_nothing(toy, tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    torch.save({"fc.weight": Payload()}, tmp_path / "evil.pt")
    done = toy(tmp_path / "w", "--weights", str(tmp_path / "evil.pt"))
    assert done.returncode == 2 and "nothing was run" in done.stderr
    assert not (tmp_path / "was_run").exists()


def test_an_unwritable_work_directory(toy, tmp_path):
    (tmp_path / "file").write_text("")
    done = toy(tmp_path / "file" / "work")
    assert done.returncode == 2 and "--work-dir" in done.stderr and "Traceback" not in done.stderr


def test_a_batch_that_diverges_is_saved_for_replay(toy, tmp_path):
    done = toy(tmp_path, "--model-args", "explode_at=7")
    assert done.returncode == 2
    assert "loss became nan in epoch 2, batch 3, step 7 (learning rate 0.1, samples clip_" in done.stderr
    assert f"the batch is in {tmp_path / 'diverged_batch.npz'}" in done.stderr
    batch = np.load(tmp_path / "diverged_batch.npz")
    assert (int(batch["epoch"]), int(batch["step"]), float(batch["learning_rate"])) == (2, 7, 0.1)
    assert [f"clip_{index}" for index in batch["indices"]] == batch["names"].tolist()
    assert all(name in done.stderr for name in batch["names"])
    assert batch["data"].shape == (6, 3, 4, 2, 1) and batch["data"].dtype == np.float32
    np.testing.assert_array_equal(batch["labels"], batch["indices"] % 3)


def test_the_saved_batch_is_what_the_model_was_given(toy, tmp_path):
    """The model prints the sum of what it is given before it fails; the noise in it is drawn anew each time."""
    done = toy(tmp_path, "--model", "toy_model_plain.Exploding")
    assert done.returncode == 2
    data = torch.from_numpy(np.load(tmp_path / "diverged_batch.npz")["data"])
    assert f"given: {data.double().sum().item()}\n" in done.stdout


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "{x}", "a\\b"])
def test_a_prefix_that_is_no_file_name(toy, tmp_path, name):
    done = toy(tmp_path / "work", "--model-saved-name", name)
    assert done.returncode == 2 and "expected the beginning of a file name" in done.stderr
    assert not (tmp_path / "work").exists()
