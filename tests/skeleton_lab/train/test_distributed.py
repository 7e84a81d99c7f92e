"""Several processes train the toy tree: what they share, what stays the same, how they end."""

from __future__ import annotations

import csv
import os
import pickle
import signal
import subprocess
import sys
import time
from itertools import chain

import numpy as np
import pytest
import torch

from skeleton_lab.errors import UserError
from skeleton_lab.train.batches import Batches
from skeleton_lab.train.distributed import World, joined, lay_gradients_as_parameters
from tests.ranks import DIED, free_port, run_ranks, try_ranks
from tests.skeleton_lab.train.conftest import SHORT, TOY, assert_same_weights, run_here

PLAIN = ("--train-feeder-args", "noise=0.0", "--model", "toy_model_plain.Model")  # no draws, BatchNorm or dropout


def train(work_dir, *flags):
    """What each process does: the toy tree's command line."""
    return run_here(work_dir, *flags)


def ends_of(work_dir, *flags, size=2):
    """Return how each process ended, in order."""
    return run_ranks(size, train, work_dir, *flags)


def figures_of(work_dir):
    """Return the history without the speed."""
    with open(work_dir / "history.csv") as file:
        return [[float(row[column]) for column in row if column != "clips_per_s"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """A training by two processes with everything random: (work directory, ends of both)."""
    folder = tmp_path_factory.mktemp("by_two") / "work"
    ends = ends_of(folder)
    assert [end.returncode for end in ends] == [0, 0], ends
    return folder, ends


# ---- who takes what ----

def indices_of(world: World, training: bool, length: int = 23, epoch: int = 0) -> list[list[int]]:
    batches = Batches(length, 6, seed=1, shuffle=training, world=world)
    batches.epoch = epoch
    return [request.indices for request in batches]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_training_batches_are_those_of_one_process_in_slices(size):
    alone = indices_of(World(), training=True)
    slices = [indices_of(World(rank, size), training=True) for rank in range(size)]
    assert [[*chain(*parts)] for parts in zip(*slices, strict=True)] == alone
    assert len({*chain(*alone)}) == 18  # each clip once; the incomplete batch is left out


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_test_batches_are_dealt_out_whole(size):
    dealt = [indices_of(World(rank, size), training=False) for rank in range(size)]
    assert sorted(chain(*dealt)) == indices_of(World(), training=False)
    assert all(max(map(len, dealt)) - len(part) <= 1 for part in dealt)


def test_each_process_draws_for_itself_and_one_process_as_ever():
    def seeds(world):
        return [request.seed for request in Batches(12, 6, seed=1, shuffle=True, world=world)]

    assert seeds(World()) == [(1, 0, 0, 1), (1, 0, 1, 1)]
    assert len({*seeds(World(0, 2)), *seeds(World(1, 2)), *seeds(World())}) == 6


# ---- the same training ----

def test_two_processes_take_the_steps_of_one(tmp_path):
    """Without draws and BatchNorm, two processes differ from one by rounding only."""
    assert run_here(tmp_path / "one", *PLAIN).returncode == 0
    for name, flags in (("two", ()), ("chunks", ("--forward-batch-size", "1"))):
        assert [end.returncode for end in ends_of(tmp_path / name, *PLAIN, *flags)] == [0, 0]
        one, several = (torch.load(tmp_path / n / "runs-3-12.pt", weights_only=True) for n in ("one", name))
        for key in one:
            torch.testing.assert_close(several[key], one[key], rtol=1e-5, atol=1e-6, msg=f"{name}: {key}")
        for before, now in zip(figures_of(tmp_path / "one"), figures_of(tmp_path / name), strict=True):
            assert now == pytest.approx(before, rel=1e-4)


def test_only_the_first_process_writes_and_speaks(by_two):
    folder, (first, second) = by_two
    assert "2 processes, 3 clips of each batch in each." in first.stdout and "Best epoch (" in first.stdout
    assert (second.stdout, second.stderr) == ("", "")
    log = (folder / "log.txt").read_text()
    assert all(log.count(line) == 1 for line in ("Training epoch: 2", "Eval epoch: 2", "Best accuracy"))
    assert len(list((folder / "runs" / "train").iterdir())) == 1
    assert {path.name for path in folder.parent.iterdir()} == {"work"}


@pytest.mark.parametrize("size", [2, 3])
def test_scores_of_several_processes_are_those_of_one_to_the_bit(by_two, tmp_path, size):
    """23 clips in batches of 5, the last of three: neither fits two or three processes."""
    flags = ("--phase", "test", "--weights", str(by_two[0] / "best.pt"), "--save-score", "true", "--test-batch-size",
             "5", "--test-feeder-args", "clips=23,noise=0.3")
    assert run_here(tmp_path / "one", *flags).returncode == 0
    ends = ends_of(tmp_path / "several", *flags, size=size)
    assert [end.returncode for end in ends] == [0] * size
    one, several = (pickle.loads((tmp_path / name / "epoch1_test_score.pkl").read_bytes())
                    for name in ("one", "several"))
    assert list(one) == list(several) == [f"clip_{i}" for i in range(23)]
    assert all(np.array_equal(one[name], several[name]) for name in one)
    lines = [next(line for line in (tmp_path / name / "log.txt").read_text().splitlines() if "Mean test loss" in line)
             for name in ("one", "several")]
    assert lines[0][28:] == lines[1][28:]


def test_fewer_test_batches_than_processes(by_two, tmp_path):
    flags = ("--phase", "test", "--weights", str(by_two[0] / "best.pt"), "--test-batch-size", "24")
    assert [end.returncode for end in ends_of(tmp_path, *flags)] == [0, 0]


def test_batch_norm_over_all_processes_is_said(tmp_path):
    (first, second) = ends_of(tmp_path / "two", "--num-epoch", "1", "--sync-bn")
    assert (first.returncode, second.returncode) == (0, 0)
    assert "BatchNorm takes its moments over the 6 clips that all processes have at a time." in first.stdout
    done = run_here(tmp_path / "one", "--num-epoch", "1", "--sync-bn")
    assert done.returncode == 0 and "--sync-bn: one process trains" in done.stdout
    assert run_here(tmp_path / "plain", "--num-epoch", "1").returncode == 0
    assert_same_weights(tmp_path / "one" / "best.pt", tmp_path / "plain" / "best.pt")


def test_a_setting_younger_than_the_state_has_its_default(tmp_path):
    assert run_here(tmp_path, "--num-epoch", "1").returncode == 0
    state = torch.load(tmp_path / "training_state.pt", weights_only=True)
    del state["settings"]["sync_bn"]
    torch.save(state, tmp_path / "training_state.pt")
    done = run_here(tmp_path, "--num-epoch", "2", "--resume", "--sync-bn")
    assert done.returncode == 2 and "sync_bn: False before, True now" in done.stderr
    assert run_here(tmp_path, "--num-epoch", "2", "--resume").returncode == 0


# ---- interruptions ----

def test_a_stopped_run_goes_on_to_the_same_bits(by_two, tmp_path):
    """The signal reaches the second process only."""
    ends = ends_of(tmp_path, "--feeder", "stopper.Feeder")
    assert [end.returncode for end in ends] == [143, 143]
    state = torch.load(tmp_path / "training_state.pt", weights_only=True)
    assert state["progress"]["epoch"] == 1 and 0 < state["progress"]["means"]["batches"] < 4
    state["settings"]["feeder"] = "toy_feeder.Feeder"  # which draws the same and stops nobody
    torch.save(state, tmp_path / "training_state.pt")
    ends = ends_of(tmp_path, "--resume")
    assert [end.returncode for end in ends] == [0, 0], ends
    assert_same_weights(by_two[0] / "training_state.pt", tmp_path / "training_state.pt")
    assert_same_weights(by_two[0] / "best.pt", tmp_path / "best.pt")


def test_a_run_of_two_can_go_on_alone_and_says_so(by_two, tmp_path):
    assert [end.returncode for end in ends_of(tmp_path, "--num-epoch", "1")] == [0, 0]
    done = run_here(tmp_path, "--resume", "--num-epoch", "2")
    assert done.returncode == 0 and "The run so far had 2 process(es), it goes on with 1" in done.stdout


# ---- failures ----

def test_the_first_failure_ends_all_and_is_told_once(tmp_path):
    outcomes = try_ranks(2, train, tmp_path, "--feeder", "stopper.Failing")
    ends = [value for outcome, value in outcomes if outcome == "returned"]
    assert len(ends) == 2, outcomes
    assert all(end.returncode != 0 for end in ends)
    told = [line for end in ends for line in end.stderr.splitlines()]
    assert told == ["error: clips.npz: sample 7 holds NaN; take it out"]
    assert ends[1].returncode == 2


def test_bad_settings_are_told_once(tmp_path):
    for flags, part in ((("--base-lrr", "1"), "--base-lrr"), (("--config", "nowhere.yaml"), "nowhere.yaml"),
                        (("--batch-size", "7"), "--batch-size 7 cannot be shared evenly by 2 processes"),
                        (("--forward-batch-size", "2"), "--forward-batch-size 2 does not divide the 3 clips"),
                        (("--model", "toy_model.Modell"), "did you mean 'Model'")):
        ends = ends_of(tmp_path / "work", *flags)
        assert 2 in [end.returncode for end in ends] and 0 not in [end.returncode for end in ends]
        assert sum(part in end.stderr for end in ends) == 1, ends
        assert not any("Traceback" in end.stderr for end in ends)
        assert not (tmp_path / "work" / "training_state.pt").exists()


@pytest.mark.parametrize(("flags", "part"), [
    (("--model-args", "explode_at=3"), "loss became nan in epoch 1, batch 3"),
    (("--model", "toy_model_faulty.Model", "--model-args", "gradient_at=3"),
     "the gradient of hidden.weight became nan in epoch 1, batch 3"),
    (("--model", "toy_model_faulty.Model", "--model-args", "moment_at=3"), "NaN or infinity in bn.running_mean"),
    (("--model", "toy_model_faulty.Model", "--model-args", "score_at=4"), "the test loss became nan"),
])
def test_a_number_that_is_none_stops_all(tmp_path, flags, part):
    ends = ends_of(tmp_path, *flags)
    assert [end.returncode for end in ends] == [2, 2]
    told = "".join(end.stderr for end in ends)
    assert told.count("error: ") == 1 and part in told
    assert not list(tmp_path.glob("*.pt"))
    if "batch 3" not in part:
        return
    batch = np.load(tmp_path / "diverged_batch.npz")
    assert batch["data"].shape[0] == 6 and all(name in told for name in batch["names"])


def test_a_killed_process_ends_the_others_in_one_line(tmp_path):
    (outcome, first), second = try_ranks(2, train, tmp_path, "--feeder", "stopper.Killed")
    assert second == (DIED, -signal.SIGKILL)
    assert outcome == "returned" and first.returncode == 2
    assert "lost contact with the others" in first.stderr and first.stderr.count("\n") == 1


def wait_for_nobody():
    started = time.monotonic()
    with joined(World.from_environment(), timeout_s=3):
        if os.environ["RANK"] == "0":
            World.from_environment().wait()
        time.sleep(6)
    return time.monotonic() - started


def test_a_process_does_not_wait_for_ever():
    (outcome, error), _ = try_ranks(2, wait_for_nobody, timeout_s=60)
    assert outcome == "raised" and "UserError: process 0 of 2 lost contact with the others" in error


def test_nobody_at_the_address(monkeypatch):
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1",
                        "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(UserError, match="process 1 of 2 cannot reach the others"):
        with joined(World.from_environment(), timeout_s=1):
            pass


@pytest.mark.parametrize(("name", "value"), [("RANK", "x"), ("RANK", "2"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "-3")])
def test_an_impossible_environment(monkeypatch, name, value):
    for key, default in (("RANK", "0"), ("WORLD_SIZE", "2"), (name, value)):
        monkeypatch.setenv(key, default)
    with pytest.raises(UserError, match="start the processes with torchrun"):
        World.from_environment()


# ---- the real command ----

def torchrun(work_dir, *flags, place=("--standalone", "--nproc_per_node=2"), **options):
    command = [sys.executable, "-m", "torch.distributed.run", *place, str(TOY / "main.py"), "--work-dir", str(work_dir),
               *SHORT, *flags]
    return subprocess.Popen(command, cwd=TOY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "OMP_NUM_THREADS": "1"}, **options)


def test_torchrun_trains_on_two_machines(by_two, tmp_path):
    """Both are this one, which takes itself for two of one process each."""
    address = "--nnodes=2", "--nproc_per_node=1", "--master_addr=127.0.0.1", f"--master_port={free_port()}"
    processes = [torchrun(tmp_path / str(rank), place=(*address, f"--node_rank={rank}")) for rank in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert_same_weights(by_two[0] / "runs-3-12.pt", tmp_path / "0" / "runs-3-12.pt")
    assert not (tmp_path / "1").exists()


def test_torchrun_passes_a_stop_signal_on(by_two, tmp_path):
    """Loader processes get the signal, too, and must not fall over before the step is done."""
    process = torchrun(tmp_path, "--num-worker", "1", "--train-feeder-args", "clips=24,delay_s=0.05")
    log = tmp_path / "log.txt"
    while not (log.exists() and "Training epoch: 2" in log.read_text()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert "the state is saved: go on with --resume" in log.read_text(), errors
    assert "DataLoader worker" not in errors
    progress = torch.load(tmp_path / "training_state.pt", weights_only=True)["progress"]
    assert progress["epoch"] >= 1


# ---- several GPUs named ----

def test_several_devices_in_one_process_are_refused_with_the_command_to_type(toy, tmp_path):
    done = toy(tmp_path, "--device", "0", "1")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "torchrun --nproc_per_node=2 " in done.stderr and "--device 0 1" in done.stderr
    (tmp_path / "c.yaml").write_text("device: [0, 1, 2, 3]")
    done = toy(tmp_path / "work", "--config", str(tmp_path / "c.yaml"), "--device", "cpu", "--num-epoch", "0")
    assert done.returncode == 0, done.stderr


class TestDevices:
    """Which GPU a process takes; the machine's are pretended."""

    @pytest.fixture(autouse=True)
    def four_gpus(self, monkeypatch):
        self.chosen, self.said, self.precisions = [], [], []
        monkeypatch.setattr(torch, "set_float32_matmul_precision", self.precisions.append)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
        monkeypatch.setattr("skeleton_lab.train.device.check_kernels", lambda device: None)
        monkeypatch.setattr(torch.cuda, "set_device", self.chosen.append)

    def choose(self, requested, rank=0, size=1):
        from skeleton_lab.train.device import choose_device

        return str(choose_device(requested, self.said.append, World(rank, size, rank, size)))

    def test_a_process_takes_the_gpu_of_its_number(self):
        assert [self.choose([0], rank, 4) for rank in range(4)] == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
        assert [str(device) for device in self.chosen] == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]

    def test_or_the_one_at_its_place_in_the_list(self):
        assert [self.choose([2, 3], rank, 2) for rank in range(2)] == ["cuda:2", "cuda:3"]
        assert self.choose([0, 1, 2, 3], 1, 2) == "cuda:1"

    def test_products_use_tf32_on_a_gpu_only(self):
        assert self.choose(["cpu"]) == "cpu" and self.precisions == []
        assert self.choose([1]) == "cuda:1" and self.precisions == ["high"]

    def test_too_few_are_refused(self):
        with pytest.raises(UserError, match=r"--device 2 names 1 GPU\(s\) for 2 processes"):
            self.choose([2], 1, 2)
        with pytest.raises(UserError, match="--device 4: this machine has 4 GPU"):
            self.choose([0], 4, 5)

    def test_one_process_uses_the_first_of_a_list_and_says_how_to_use_all(self):
        assert self.choose([1, 3]) == "cuda:1"
        assert "torchrun --nproc_per_node=2 main.py" in self.said[0] and not self.chosen


# ---- how tensors lie ----

def test_weights_that_do_not_lie_in_a_row_follow_the_main_process(monkeypatch):
    """NCCL takes contiguous tensors only, and gloo sends what lies in memory."""
    def broadcast(tensor, source):
        assert tensor.is_contiguous()
        tensor.fill_(7)

    monkeypatch.setattr(torch.distributed, "broadcast", broadcast)
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.zeros(3, 4).t())
    model.register_buffer("moments", torch.zeros(2, 3, 4).transpose(0, 2))
    World(0, 2).follow_main(model)
    assert (model.weight == 7).all() and (model.moments == 7).all()


def test_gradients_lie_as_their_parameters():
    model = torch.nn.Conv2d(2, 3, (5, 1))
    lay_gradients_as_parameters(model)
    grad = torch.randn(3, 2, 1, 5)
    (model.weight * grad.transpose(2, 3)).sum().backward()
    assert grad.transpose(2, 3).stride() != model.weight.stride() == model.weight.grad.stride()
    assert torch.equal(model.weight.grad, grad.transpose(2, 3))
