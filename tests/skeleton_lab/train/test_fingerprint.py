"""A training that goes on with other data or other code says so; what is the same elsewhere is the same."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch

from skeleton_lab.train.watched import Watch, sources_of
from tests.skeleton_lab.train.conftest import assert_same_weights, run_here

CLIPS = 24
FEEDER = ("--feeder", "file_feeder.Feeder")


def write_clips(path, seed=0):
    labels = np.arange(CLIPS) % 3
    noise = np.random.default_rng(seed).standard_normal((CLIPS, 3, 4, 2, 1))
    np.save(path, (noise + 2 * np.eye(3)[labels][:, :, None, None, None]).astype(np.float32))
    return path


def flags_for(path, **options):
    words = ",".join(f"{key}={value}" for key, value in {"data_path": path, **options}.items())
    return (*FEEDER, "--train-feeder-args", words, "--test-feeder-args", words)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(work directory after one epoch, its data, work directory of an unbroken run of three)."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_clips(folder / "a.npy")
    assert run_here(folder / "whole", *flags_for(data)).returncode == 0
    assert run_here(folder / "begun", *flags_for(data), "--num-epoch", "1").returncode == 0
    return folder / "begun", data, folder / "whole"


@pytest.fixture
def begun(trained, tmp_path):
    """Copies of that after one epoch: (work directory, data)."""
    shutil.copytree(trained[0], tmp_path / "work")
    data = tmp_path / "a.npy"
    shutil.copy2(trained[1], data)
    return tmp_path / "work", data


def assert_refused(done, *parts):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def test_the_same_data_elsewhere_with_another_time_is_the_same(trained, begun):
    work_dir, data = begun
    os.utime(data, (1, 1))
    done = run_here(work_dir, *flags_for(data), "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_weights(trained[2] / "training_state.pt", work_dir / "training_state.pt")
    assert "changes" not in json.loads((work_dir / "run.json").read_text())["train"]


def test_other_data_is_refused_by_name_and_noted_where_it_is_accepted(begun):
    """Of the same size, and with the time of the first."""
    work_dir, data = begun
    times = os.stat(data)
    write_clips(data, seed=1)
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    before = (work_dir / "config.yaml").read_bytes()
    for flags in ((), ("--accept-changes", "code")):
        assert_refused(run_here(work_dir, *flags_for(data), "--resume", *flags), "cannot resume with other data",
                       f"{data} does not hold the same", "--accept-changes data")
    assert (work_dir / "config.yaml").read_bytes() == before
    done = run_here(work_dir, *flags_for(data), "--resume", "--accept-changes", "data", "--num-epoch", "2")
    assert done.returncode == 0 and "Going on with other data, as --accept-changes says" in done.stdout
    (change,) = json.loads((work_dir / "run.json").read_text())["train"]["changes"]
    assert (change["epoch"], change["kind"]) == (2, "data") and str(data) in change["what"]
    assert "does not hold the same" in (work_dir / "report.html").read_text()
    done = run_here(work_dir, *flags_for(data), "--resume")  # accepted once is accepted, and stays noted
    assert done.returncode == 0, done.stderr
    assert json.loads((work_dir / "run.json").read_text())["train"]["changes"] == [change]
    assert "accept" not in (work_dir / "config.yaml").read_text().partition("\n\n")[2]


def test_other_labels_are_other_data(begun):
    work_dir, data = begun
    done = run_here(work_dir, *flags_for(data), "--resume", "--feeder", "file_feeder.Feeder")
    assert done.returncode == 0
    state = torch.load(work_dir / "training_state.pt", weights_only=True)
    state["fingerprint"]["data"]["train"]["labels"] = "0"
    torch.save(state, work_dir / "training_state.pt")
    (work_dir / "run.json").unlink()  # it says that there is nothing left to do
    assert_refused(run_here(work_dir, *flags_for(data), "--resume"), "the names or labels of the train data are others")


def test_other_code_is_refused_and_the_copy_of_the_first_is_kept(tmp_path, monkeypatch):
    """A model of the user's own, outside the tree, with a module of its own beside it, which is edited."""
    own, work_dir = tmp_path / "own", tmp_path / "work"
    own.mkdir()
    monkeypatch.syspath_prepend(str(own))
    first = "from my_layers import MODEL\n\n\nclass Model(MODEL):\n    pass\n"
    (own / "my_model.py").write_text(first)
    (own / "my_layers.py").write_text("from toy_model import Model as MODEL\n")

    def run(*flags):
        for name in ("my_model", "my_layers"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return run_here(work_dir, "--model", "my_model.Model", *flags)

    assert run("--num-epoch", "1").returncode == 0
    (own / "my_layers.py").write_text("from toy_model import Model as MODEL  # ...\n")
    assert_refused(run("--resume"), "cannot resume with other code", "module my_layers is another",
                   "--accept-changes code")
    (own / "my_model.py").write_text(first + "    scale = 2\n")
    assert_refused(run("--resume"), "module my_layers is another; module my_model is another")
    assert (work_dir / "my_model.py").read_text() == first
    done = run("--resume", "--num-epoch", "2", "--accept-changes", "data", "code")
    assert done.returncode == 0, done.stderr
    assert (work_dir / "my_model.py").read_text() == first
    assert "scale = 2" in (work_dir / "my_model.from_epoch2.py").read_text()
    assert run("--overwrite", "--num-epoch", "0").returncode == 0
    assert not (work_dir / "my_model.from_epoch2.py").exists()


def test_the_engine_and_the_tree_are_code(begun):
    work_dir, data = begun
    state = torch.load(work_dir / "training_state.pt", weights_only=True)
    code = state["fingerprint"]["code"]
    assert {"skeleton_lab/nn/layers.py", "skeleton_lab/train/loop.py", "skeleton_lab/data/feeders/feeder_ntu.py",
            "skeleton_lab/errors.py", "tree/toy_model.py", "tree/file_feeder.py"} <= set(code)
    assert not [key for key in code if "/report/" in key or key.startswith("/")]
    for key in ("skeleton_lab/nn/layers.py", "tree/toy_model.py"):
        code[key] = "0"
    code["skeleton_lab/nn/by_hand.py"] = "0"
    state["fingerprint"]["versions"]["PyTorch"] = "1.0"
    torch.save(state, work_dir / "training_state.pt")
    assert_refused(run_here(work_dir, *flags_for(data), "--resume"), "skeleton_lab/nn/layers.py is another",
                   "tree/toy_model.py is another", "skeleton_lab/nn/by_hand.py is gone")
    done = run_here(work_dir, *flags_for(data), "--resume", "--accept-changes", "code")
    assert done.returncode == 0, done.stderr
    assert f"PyTorch was 1.0 and is {torch.__version__}: results may differ" in done.stdout


@pytest.mark.parametrize("chosen_here", [True, False])
def test_threads_that_nobody_asked_for_stay_as_many_as_before(begun, monkeypatch, chosen_here):
    """With as many threads, sums round as they did; a number in the environment is the user's wish."""
    work, data = begun
    state = torch.load(work / "training_state.pt", weights_only=True)
    state["fingerprint"]["versions"]["the number of threads"] = "3"
    torch.save(state, work / "training_state.pt")
    threads = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    monkeypatch.setenv("SKELETON_LAB_THREADS", str(threads) if chosen_here else "")
    try:
        done = run_here(work, *flags_for(data), "--resume")
        assert done.returncode == 0, done.stderr
        assert torch.get_num_threads() == (3 if chosen_here else threads)
    finally:
        torch.set_num_threads(threads)
    state = torch.load(work / "training_state.pt", weights_only=True)
    assert state["fingerprint"]["versions"]["the number of threads"] == ("3" if chosen_here else str(threads))
    assert ("Going on with 3 threads, as before" in done.stdout) == chosen_here
    assert ("the number of threads was 3" in done.stdout) == (not chosen_here)


def test_a_state_of_an_older_version_is_not_compared(begun):
    work_dir, data = begun
    state = torch.load(work_dir / "training_state.pt", weights_only=True)
    del state["fingerprint"], state["changes"]
    state["settings"]["train_feeder_args"] = state["settings"]["test_feeder_args"] = {"data_path": str(data)}
    torch.save(state, work_dir / "training_state.pt")
    done = run_here(work_dir, *flags_for(data), "--resume")
    assert done.returncode == 0 and "kept no fingerprint of data and code" in done.stdout, done.stderr


def test_accepting_is_for_resuming(tmp_path):
    assert_refused(run_here(tmp_path, "--accept-changes", "data"), "--accept-changes", "needs --resume")
    (tmp_path / "c.yaml").write_text("accept_changes: [dada]\n")
    assert_refused(run_here(tmp_path / "work", "--config", str(tmp_path / "c.yaml")), "'accept_changes'",
                   "expected one of data, code, not 'dada'")


@pytest.mark.parametrize(("happens", "workers", "said"), [
    ("changes", "0", "a.npy: was changed while the training was reading it"),
    ("is_cut_short", "0", "a.npy: was cut short while the training was reading it (200 bytes, "),
    ("is_cut_short", "1", "a.npy: was cut short while the training was reading it (200 bytes, "),
    ("is_touched", "0", ""),
    ("is_deleted", "0", ""),
])
def test_what_happens_to_the_data_of_a_running_training(trained, begun, tmp_path, happens, workers, said):
    """In its second epoch; the state after the first stays, and goes on with the right file to the same weights."""
    _, data = begun
    work_dir = tmp_path / "new"
    flags = (*flags_for(data), "--num-worker", workers)
    options = flags_for(data, happens=happens, once=tmp_path / "once")[2:4]
    done = run_here(work_dir, *flags, *options)
    if not said:
        assert done.returncode == 0, done.stderr
        assert_same_weights(trained[2] / "best.pt", work_dir / "best.pt")
        return
    assert_refused(done, said, "--resume")
    assert torch.load(work_dir / "training_state.pt", weights_only=True)["progress"]["epoch"] == 1
    shutil.copy2(trained[1], data)
    done = run_here(work_dir, *flags, *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_weights(trained[2] / "training_state.pt", work_dir / "training_state.pt")


class TestWatch:
    def test_many_files_are_one_source_and_each_counts(self, tmp_path):
        for number in range(20):
            (tmp_path / f"{number:02d}.json").write_text(f"recording {number}")
        feeder = type("Named", (), {"files": [tmp_path / f"{number:02d}.json" for number in range(19)]})()
        (source,) = sources_of(feeder, {"root": str(tmp_path)})
        watch = Watch([source])
        (tmp_path / "19.json").write_text("not of the list")
        assert watch.complaint() == "" and source.path == str(tmp_path)
        (tmp_path / "07.json").write_text("recording 9")
        assert f"{tmp_path / '07.json'}: was changed" in watch.complaint()

    def test_paths_among_options_are_found(self, tmp_path):
        (tmp_path / "a.npy").write_bytes(b"1")
        (tmp_path / "folder" / "deep").mkdir(parents=True)
        (tmp_path / "folder" / "deep" / "b.npy").write_bytes(b"2")
        options = {"stream": "joint", "size": 3, "paths": [str(tmp_path / "a.npy"), {"x": str(tmp_path / "folder")}],
                   "null": "\0", "long": "x" * 5000}
        first, second = sources_of(object(), options)
        assert first.path == str(tmp_path / "a.npy") and second.members == (str(tmp_path / "folder/deep/b.npy"),)
        watch = Watch([second])
        (tmp_path / "folder" / "deep" / "b.npy").write_bytes(b"3")
        assert "b.npy: was changed" in watch.complaint()

    def test_a_large_archive_written_anew_with_one_number_changed_differs(self, tmp_path):
        clips = np.zeros((300, 40_000), np.float32)  # 48 MB: only a sample of it is read
        digests = []
        for number in (0, 1):
            clips[137, 20_011] = number
            np.savez(tmp_path / "a.npz", x_train=clips, y_train=np.arange(300))
            (source,) = sources_of(None, {"data_path": str(tmp_path / "a.npz")})
            digests.append(source.digest())
        assert digests[0] != digests[1]
