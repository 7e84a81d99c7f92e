"""MS-G3D's main.py and ensemble.py through their command lines: train, test, resume, fuse, refuse."""

from __future__ import annotations

import importlib.util
import pickle
import re
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from skeleton_lab.entry.tree import run
from skeleton_lab.errors import run_command
from skeleton_lab.train.config import read_config
from tests.msg3d.clip_files import make_place, numbered
from tests.trees import ROOT

TREE = ROOT / "MS-G3D"
CONFIG = TREE / "config" / "nturgbd-cross-subject"
SHORT = ("--device", "cpu", "--num-worker", "0", "--batch-size", "4", "--forward-batch-size", "2", "--test-batch-size",
         "3", "--num-epoch", "2", "--step", "1")
SMALL = ("--model", "tests.msg3d.small_model.Model")
NUM_TRAIN, NUM_VAL, NUM_FRAMES = 5, 4, 6  # one training batch of two chunks, two test batches


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder with data/ntu/xsub as the configs name it: five training and four test clips of six frames."""
    return make_place(tmp_path_factory.mktemp("msg3d"), numbered(train=NUM_TRAIN, val=NUM_VAL), NUM_FRAMES,
                      ("joint", "bone"))


@pytest.fixture(scope="module")
def main(tree):
    """The module main.py, loaded without being run."""
    description = importlib.util.spec_from_file_location("msg3d_main", TREE / "main.py")
    module = importlib.util.module_from_spec(description)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TREE))  # and what main.py puts there goes again, too
        description.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def here(main, place):
    """Return a function that runs main.py's command line in this process, in `place`, on the joint training config."""

    def run_here(work_dir, *flags, config="train_joint"):
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, \
                redirect_stderr(StringIO()) as err:
            patch.chdir(place)
            argv = ["--config", str(CONFIG / f"{config}.yaml"), "--work-dir", str(work_dir), *SHORT, *map(str, flags)]
            with pytest.raises(SystemExit) as ended:
                run_command(lambda: run(main.SPEC, argv))
        return SimpleNamespace(status=ended.value.code, out=out.getvalue(), err=err.getvalue())

    return run_here


@pytest.fixture(scope="module")
def trained(here, place):
    """The work directory of two epochs of training MS-G3D."""
    folder = place / "work" / "joint"
    done = here(folder)
    assert done.status == 0, done.err
    return folder


@pytest.fixture(scope="module")
def small(here, place):
    """The work directory of two epochs of training the small model, and its flags to do that again elsewhere."""
    folder = place / "work" / "small"
    done = here(folder, *SMALL)
    assert done.status == 0, done.err
    return folder


def weights_of(path):
    return torch.load(path, weights_only=True)


def assert_same(first, second):
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_files_of_a_training_are_upstreams(trained):
    files = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert files >= {"config.yaml", "log.txt", "msg3d.py", "best.pt", "weights/weights-1-1.pt",
                     "weights/weights-2-2.pt", "checkpoints/checkpoint-1-fwbz2-1.pt",
                     "checkpoints/checkpoint-2-fwbz2-2.pt"}
    assert {path.name for path in (trained / "trainlogs").iterdir()} == {"train", "val"}
    weights = weights_of(trained / "weights" / "weights-2-2.pt")
    assert len(weights) == 810 and sum(value.numel() for value in weights.values()) > 3_194_595
    saved = yaml.safe_load((trained / "config.yaml").read_text())
    assert (saved["forward_batch_size"], saved["half"], saved["base_lr"], saved["seed"]) == (2, False, 0.05, 1)


def test_the_checkpoint_holds_optimiser_and_schedule_as_upstreams_readers_expect(trained):
    checkpoint = torch.load(trained / "checkpoints" / "checkpoint-1-fwbz2-1.pt", weights_only=True)
    assert checkpoint["epoch"] == 1 and set(checkpoint["optimizer_states"]) == {"state", "param_groups"}
    assert len(checkpoint["optimizer_states"]["state"]) == 459
    assert checkpoint["optimizer_states"]["param_groups"][0]["initial_lr"] == 0.05
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(459)]
    optimizer = torch.optim.SGD(parameters, lr=1.0, momentum=0.9)
    optimizer.load_state_dict(checkpoint["optimizer_states"])
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [99])
    schedule.load_state_dict(checkpoint["lr_scheduler_states"])
    assert schedule.last_epoch == 1 and schedule.get_last_lr() == pytest.approx([0.005])
    assert Counter(schedule.milestones) == Counter([1]) and schedule.gamma == 0.1


def test_the_log_has_upstreams_lines(trained):
    log = (trained / "log.txt").read_text()
    for line in (r"Model total number of params: 3194595\n", r"Parameters:\n", r"Training epoch: 1, LR: 0\.0500\n",
                 r"Training epoch: 2, LR: 0\.0050\n", r"\tTime consumption: \[Data\]\d\d%, \[Network\]\d\d+%\n",
                 r"Eval epoch: 2\n", r"\tMean test loss of 2 batches: \d", r"\tTop 1: \d+\.\d\d%\n",
                 r"\tTop 5: \d+\.\d\d%\n", r"Best accuracy: ", r"Epoch number: ", r"Model name: ",
                 r"Weight decay: 0\.0005", r"Base LR: 0\.05", r"Batch Size: 4", r"Forward Batch Size: 2",
                 r"Test Batch Size: 3"):
        assert re.search(r"\[ \w{3} \w{3} +\d+ [\d:]+ \d{4} \] " + line, log), line
    assert "Testing the best" not in log
    chunk, batch = map(float, re.search(r"\tMean training loss: ([\d.]+) \(BS 4: ([\d.]+)\)\.", log).groups())
    assert batch == pytest.approx(2 * chunk, abs=2e-4)


def test_scalars_have_upstreams_tags_and_steps(trained):
    train = EventAccumulator(str(trained / "trainlogs" / "train")).Reload()
    assert [event.value for event in train.Scalars("epoch")] == [1, 2]
    assert [event.step for event in train.Scalars("epoch")] == [0, 1]
    assert [event.step for event in train.Scalars("loss")] == [1, 1, 2, 2]  # two chunks a batch
    assert [event.step for event in train.Scalars("lr")] == [1, 2]
    val = EventAccumulator(str(trained / "trainlogs" / "val")).Reload()
    assert [event.step for event in val.Scalars("acc")] == [1, 2]


@pytest.mark.parametrize("start", [(), ("--start-epoch", 1)])
def test_two_files_continue_a_training_to_the_same_weights(here, small, place, start):
    folder = place / "work" / f"continued{len(start)}"
    done = here(folder, *SMALL, "--weights", small / "weights" / "weights-1-1.pt", "--checkpoint",
                small / "checkpoints" / "checkpoint-1-fwbz2-1.pt", *start)
    assert done.status == 0, done.err
    assert "Training epoch: 2, LR: 0.0050" in done.out and "Training epoch: 1," not in done.out
    assert_same(weights_of(folder / "weights" / "weights-2-2.pt"), weights_of(small / "weights" / "weights-2-2.pt"))


def test_two_files_continue_in_the_same_folder_and_resume_takes_one(here, place):
    folder = place / "work" / "same"
    assert here(folder, *SMALL, "--num-epoch", 1).status == 0
    again = here(folder, *SMALL, "--num-epoch", 1)
    assert again.status == 2 and "holds a training already" in again.err and again.err.count("\n") == 1
    two_files = "--weights", folder / "weights" / "weights-1-1.pt", "--checkpoint", \
        folder / "checkpoints" / "checkpoint-1-fwbz2-1.pt"
    assert here(folder, *SMALL, *two_files).status == 0
    assert (folder / "weights" / "weights-2-2.pt").exists()
    done = here(folder, *SMALL, "--num-epoch", 3, "--resume")
    assert done.status == 0 and "Training epoch: 3" in done.out and "Training epoch: 2" not in done.out


def test_a_checkpoint_as_torch_itself_writes_it_loads(here, small, place):
    """Upstream saves a scheduler's own state dict, milestones in a Counter."""
    path = place / "upstream.pt"
    ours = torch.load(small / "checkpoints" / "checkpoint-1-fwbz2-1.pt", weights_only=True)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 7])
    optimizer.step()
    schedule.step()
    torch.save({**ours, "lr_scheduler_states": schedule.state_dict()}, path)
    folder = place / "work" / "upstream"
    done = here(folder, *SMALL, "--weights", small / "weights" / "weights-1-1.pt", "--checkpoint", path)
    assert done.status == 0, done.err
    assert_same(weights_of(folder / "weights" / "weights-2-2.pt"), weights_of(small / "weights" / "weights-2-2.pt"))


def test_optimiser_states_alone_restore_the_momentum(here, small, place):
    flags = "--weights", small / "weights" / "weights-1-1.pt", "--start-epoch", 1
    with_states = here(place / "work" / "states", *SMALL, *flags, "--optimizer-states",
                       small / "checkpoints" / "checkpoint-1-fwbz2-1.pt")
    assert with_states.status == 0, with_states.err
    assert_same(weights_of(place / "work" / "states" / "weights" / "weights-2-2.pt"),
                weights_of(small / "weights" / "weights-2-2.pt"))
    refused = here(place / "work" / "refused", *SMALL, *flags, "--optimizer-states",
                   small / "weights" / "weights-1-1.pt")
    assert refused.status == 2 and "not the state of this model's optimiser" in refused.err


def test_assume_yes_starts_afresh(here, place):
    folder = place / "work" / "afresh"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "weights-7-70.pt").write_bytes(b"old")
    (folder / "notes.txt").write_text("mine")
    assert here(folder, *SMALL, "--num-epoch", 1).status == 2
    assert here(folder, *SMALL, "--num-epoch", 1, "--assume-yes").status == 0
    assert [path.name for path in (folder / "weights").iterdir()] == ["weights-1-1.pt"]
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.fixture(scope="module")
def tested(here, trained, place):
    """Test folders of both streams (one set of weights serves both, here)."""
    for stream in ("joint", "bone"):
        done = here(place / "eval" / stream, "--weights", trained / "weights" / "weights-2-2.pt",
                    config=f"test_{stream}")
        assert done.status == 0, done.err
        assert done.out.rstrip().endswith("Done.")
    return place / "eval"


def test_a_test_writes_scores_and_sample_lists(tested):
    with open(tested / "joint" / "epoch1_test_score.pkl", "rb") as file:
        scores = pickle.load(file)
    assert list(scores) == [f"val{i}" for i in range(NUM_VAL)]
    assert all(row.shape == (60,) and row.dtype == np.float32 for row in scores.values())
    predicted = [int(row.argmax()) for row in scores.values()]
    right = [line.split(",") for line in (tested / "joint" / "right-samples.txt").read_text().split()]
    assert right == [[str(p), str(7 * i)] for i, p in enumerate(predicted)]
    wrong = [line.split(",") for line in (tested / "joint" / "wrong-samples.txt").read_text().split()]
    assert wrong == [[str(i), str(p), str(7 * i)] for i, p in enumerate(predicted) if p != 7 * i]


def test_a_test_ignores_eval_start(here, trained, place):
    done = here(place / "eval" / "late", "--weights", trained / "best.pt", "--eval-start", 5, config="test_joint")
    assert done.status == 0 and (place / "eval" / "late" / "epoch1_test_score.pkl").exists()


def test_ensemble_adds_the_streams(run_script, tested, place):
    scores = {}
    for stream in ("joint", "bone"):
        with open(tested / stream / "epoch1_test_score.pkl", "rb") as file:
            scores[stream] = np.stack(list(pickle.load(file).values()))
    done = run_script(TREE / "ensemble.py", "--dataset", "ntu/xsub", "--joint-dir", "eval/joint", "--bone-dir",
                      "eval/bone", "--alpha", "0.5", cwd=place)
    assert done.returncode == 0, done.stderr
    order = np.argsort(scores["joint"] + 0.5 * scores["bone"], axis=1)
    for k in (1, 5):
        hits = np.mean([7 * i in row[-k:] for i, row in enumerate(order)])
        assert f"Top{k} Acc: {100 * hits:.4f}%" in done.stdout


@pytest.mark.parametrize(("arguments", "complaint"), [
    (("--dataset", "ntu/xview"), "data/ntu/xview/val_label.pkl"),
    (("--dataset", "ntu/xsub", "--bone-dir", "absent"), "absent/epoch1_test_score.pkl: no score file"),
])
def test_ensemble_names_what_is_missing(run_script, tested, place, arguments, complaint):
    done = run_script(TREE / "ensemble.py", "--joint-dir", "eval/joint", "--bone-dir", "eval/bone", *arguments,
                      cwd=place)
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1


def test_the_command_of_the_docs_runs_in_a_process_of_its_own(run_script, place):
    work_dir = place / "work" / "process"
    done = run_script(TREE / "main.py", "--config", CONFIG / "train_joint.yaml", "--work-dir", work_dir, "--device",
                      "0", "--half", "--batch-size", "4", "--forward-batch-size", "4", "--num-epoch", "1", cwd=place,
                      env={"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr
    assert "No CUDA GPU found: using the CPU." in done.stdout
    assert (work_dir / "weights" / "weights-1-1.pt").exists()


def test_half_computes_in_another_format_unless_level_0_says_no(here, small, place):
    assert here(place / "work" / "half", *SMALL, "--half").status == 0
    assert here(place / "work" / "level0", *SMALL, "--half", "--amp-opt-level", 0).status == 0
    full, half, level0 = (weights_of(folder / "weights" / "weights-2-2.pt")
                          for folder in (small, place / "work" / "half", place / "work" / "level0"))
    assert_same(full, level0)
    assert not torch.equal(half["fc.weight"], full["fc.weight"])
    torch.testing.assert_close(half["fc.weight"], full["fc.weight"], rtol=0.1, atol=0.01)


def test_debug_is_the_same_from_the_flag_and_the_config(here, place):
    for name, flags in (("flag", ("--debug", "true")), ("config", ("--train-feeder-args", "debug=True"))):
        folder = place / "work" / f"debug-{name}"
        assert here(folder, *SMALL, *flags).status == 0
        assert [path.name for path in (folder / "trainlogs").iterdir()] == ["debug"]


def test_window_flags_reach_the_feeders(main):
    argv = ["--config", str(CONFIG / "train_joint.yaml"), "--train-window-size", "64", "--test-window-size", "128"]
    config = read_config(main.SPEC, argv)
    assert config.train_feeder_args["window_size"] == 64 and config.train_feeder_args["random_choose"] is True
    assert config.test_feeder_args["window_size"] == 128


@pytest.mark.parametrize("path", sorted(CONFIG.parent.rglob("*.yaml")),
                         ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_config_is_read_and_its_values_win_over_the_defaults(main, path):
    config, written = read_config(main.SPEC, ["--config", str(path)]), yaml.safe_load(path.read_text())
    device = written.pop("device")
    assert config.device == (device if isinstance(device, list) else [device])
    assert {key: getattr(config, key) for key in written} == written


def test_the_defaults_are_upstreams(main):
    config = vars(read_config(main.SPEC, []))
    expected = {"phase": "train", "save_score": False, "save_interval": 1, "eval_start": 1, "print_log": True,
                "show_topk": [1, 5], "half": False, "amp_opt_level": 1, "base_lr": 0.01, "step": [20, 40, 60],
                "device": [0], "optimizer": "SGD", "nesterov": False, "batch_size": 32, "test_batch_size": 256,
                "forward_batch_size": 16, "start_epoch": 0, "num_epoch": 80, "weight_decay": 0.0005, "weights": None,
                "optimizer_states": None, "checkpoint": None, "debug": False, "ignore_weights": []}
    assert {key: config[key] for key in expected} == expected


def test_weights_of_the_published_folder_are_found(main, tmp_path):
    folder = tmp_path / "pretrained-models"
    folder.mkdir()
    named = tmp_path / "pretrained_models" / "ntu60_xsub_joint.pt"
    assert main.find_weights(str(named)) == str(named)
    (folder / "ntu60-xsub-joint-fusion.pt").write_bytes(b"")
    assert main.find_weights(str(named)) == str(folder / "ntu60-xsub-joint-fusion.pt")
    (folder / "ntu60-xsub-joint.pt").write_bytes(b"")
    assert main.find_weights(str(named)) == str(folder / "ntu60-xsub-joint.pt")
    named.parent.mkdir()
    named.write_bytes(b"")
    assert main.find_weights(str(named)) == str(named)


@pytest.mark.parametrize(("flags", "complaint"), [
    (("--forward-batch-size", "3"), "--forward-batch-size 3 does not divide --batch-size 4"),
    (("--amp-opt-level", "4"), "expected 0, 1, 2 or 3"),
    (("--assume-yes", "--resume"), "contradict"),
    (("--checkpoint", "a.pt", "--optimizer-states", "b.pt"), "leave --optimizer-states out"),
    (("--checkpoint", "absent.pt"), "absent.pt: no such file"),
    (("--weights", "absent.pt"), "absent.pt: no such file"),
    (("--train-feeder-args", "data_path=absent.npy"), "absent.npy: no such file"),
    (("--train-feeder-args", "data_path=data/ntu/xsub/val_data_joint.npy"), "4 clips, but"),
    (("--train-feeder-args", "random_choose=True"), "random_choose needs a window"),
    (("--model-args", "num_class=3"), "out of range for a model of 3 classes"),
])
def test_bad_input_is_one_line(here, place, flags, complaint):
    done = here(place / "work" / "bad", *SMALL, *flags)
    assert done.status == 2 and complaint in done.err and "Traceback" not in done.err


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_clip_with_nan_is_named_also_by_a_loader_process(here, place, workers):
    clips = np.load(place / "data" / "ntu" / "xsub" / "train_data_joint.npy")
    clips[:, 0, 0, 0, 0] = np.nan
    np.save(place / "nan.npy", clips)
    done = here(place / "work" / f"nan{workers}", *SMALL, "--train-feeder-args", "data_path=nan.npy", "--num-worker",
                workers)
    assert done.status == 2 and done.err.count("error: ") == 1
    assert re.search(r"error: nan\.npy: sample (\d) \(train\1\) holds NaN", done.err)


def test_a_test_without_its_weights_says_where_it_looked(here, place):
    done = here(place / "eval" / "none", config="test_joint")
    assert done.status == 2 and "pretrained_models/ntu60_xsub_joint.pt" in done.err
