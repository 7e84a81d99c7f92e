"""--observe in CTR-GCN: each feeder gives what it would give of recordings that end there; the real command line."""

from __future__ import annotations

import json
import pickle
import random

import numpy as np
import pytest
import torch
import yaml

from skeleton_lab.errors import UserError
from tests.scripts.small_archive import NUM_FRAMES, kaggle_clips, write_pair
from tests.several import run_main
from tests.trees import ROOT

TREE = ROOT / "CTR-GCN"
NUM_CLIPS, SHARE = 12, 0.4
NTU_25 = "skeleton_lab.skeletons.NTU_25"
TRAINING = {"p_interval": [0.5, 1], "window_size": 16, "random_rot": True, "bone": True}
TESTING = {"p_interval": [0.95], "window_size": 16, "vel": True}


def seed() -> None:
    random.seed(2)
    np.random.seed(2)
    torch.manual_seed(2)


def batch_of(feeder, indices=range(NUM_CLIPS)) -> torch.Tensor:
    seed()
    return feeder.get_batch(indices)[0]


@pytest.fixture(scope="module")
def archives(tmp_path_factory, run_script):
    """Clips in three layouts, whole and cut after 40 % of their frames: kind -> path."""
    folder = tmp_path_factory.mktemp("archives")
    clips, labels = kaggle_clips(NUM_CLIPS, 3, seed=4)
    clips = clips.reshape(NUM_CLIPS, NUM_FRAMES, 2, 75)
    clips[3, 8:, 1] = clips[3, 8:, 0] + 1  # a second body that comes late: when exactly, nothing of it is known
    clips[3, :8, 1] = 0
    short = clips.copy()
    for clip in short:
        num_valid = int(clip.any(axis=(1, 2)).sum())
        clip[max(1, round(SHARE * num_valid)):] = 0
    paths = {}
    for kind, frames in (("whole", clips), ("cut", short)):
        converted = np.ascontiguousarray(frames.reshape(NUM_CLIPS, NUM_FRAMES, 2, 25, 3).transpose(0, 4, 1, 3, 2))
        kaggle = frames.reshape(NUM_CLIPS, NUM_FRAMES, 150)
        for layout, x, y in (("kaggle", kaggle, np.eye(3)[labels]), ("converted", converted, labels)):
            paths[kind, layout] = folder / f"{kind}_{layout}.npz"
            np.savez(paths[kind, layout], x_train=x, y_train=y, x_test=x, y_test=y)
        paths[kind, "packed"] = folder / f"{kind}_packed.npz"
        run_script("dataset_tools/pack_npz.py", "--input", paths[kind, "kaggle"],
                   "--output", paths[kind, "packed"]).check_returncode()
    return paths


@pytest.mark.parametrize("options", [TRAINING, TESTING], ids=["training", "testing"])
@pytest.mark.parametrize(("name", "layout"), [("feeder_ntu", "kaggle"), ("feeder_ntu", "converted"),
                                              ("feeder_ntu", "packed"), ("feeder_clips", "converted")])
def test_the_first_part_is_what_recordings_that_end_there_give(tree, archives, name, layout, options):
    feeder_class = tree.load(f"feeders.{name}.Feeder")
    options = options | {"split": "train"} | ({"skeleton": NTU_25} if name == "feeder_clips" else {})
    whole, short = (str(archives[kind, layout]) for kind in ("whole", "cut"))
    plain = batch_of(feeder_class(whole, **options))
    assert torch.equal(batch_of(feeder_class(whole, observe=1, **options)), plain)
    assert torch.equal(batch_of(feeder_class(whole, observe=[1.0, 1.0], **options)), plain)
    seen = batch_of(feeder_class(whole, observe=SHARE, **options))
    assert torch.equal(seen, batch_of(feeder_class(short, **options))) and not torch.equal(seen, plain)
    drawing = feeder_class(whole, observe=[0.1, 1], **options)
    drawn = batch_of(drawing)
    assert not torch.equal(drawn, plain) and not torch.equal(drawn, seen)
    seed()
    assert np.array_equal(np.stack([drawing[index][0] for index in range(NUM_CLIPS)]), drawn.numpy())


@pytest.fixture(scope="module")
def recordings(tree, tmp_path_factory):
    """Folders of NW-UCLA's 464 test recordings, made up, whole and cut after 40 %."""
    folder, rng = tmp_path_factory.mktemp("ucla"), np.random.default_rng(0)
    for number, recording in enumerate(tree.load("feeders.ucla_split.recordings")("val")):
        frames = rng.standard_normal((1 + 3 * (number % 9), 20, 3)).cumsum(axis=0)
        for kind, part in (("whole", frames), ("cut", frames[:max(1, round(SHARE * len(frames)))])):
            (folder / kind).mkdir(exist_ok=True)
            (folder / kind / f"{recording.name}.json").write_text(json.dumps({"skeletons": part.tolist()}))
    return folder


@pytest.mark.parametrize("choose", [True, False])
def test_of_nw_ucla_too_and_in_its_scale(tree, recordings, choose):
    feeder_class = tree.load("feeders.feeder_ucla.Feeder")

    def feeder(kind="whole", **options):
        return feeder_class("bone motion", "val", random_choose=choose, root=str(recordings / kind), **options)

    plain, seen = batch_of(feeder()), batch_of(feeder(observe=SHARE))
    assert torch.equal(batch_of(feeder(observe=1)), plain) and not torch.equal(seen, plain)
    assert torch.equal(seen, batch_of(feeder("cut")))
    drawing = feeder(observe=(0.1, 1.0))
    drawn = batch_of(drawing)
    seed()
    assert np.array_equal(np.stack([drawing[index][0] for index in range(NUM_CLIPS)]), drawn.numpy())


@pytest.mark.parametrize("name", ["feeder_ntu", "feeder_clips", "feeder_ucla"])
def test_bad_shares_are_refused_by_each_feeder(tree, archives, recordings, name):
    arguments = {"feeder_ntu": (str(archives["whole", "converted"]), None, 1, "test"),
                 "feeder_clips": (str(archives["whole", "converted"]), "test", NTU_25),
                 "feeder_ucla": ("joint", "val")}[name]
    options = {"root": str(recordings / "whole")} if name == "feeder_ucla" else {"window_size": 8}
    with pytest.raises(UserError, match=rf"^feeders\.{name}\.Feeder: observe=2 is no share of a clip"):
        tree.load(f"feeders.{name}.Feeder")(*arguments, observe=2, **options)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Return a function that runs main.py on a small archive and returns what it printed, and its work directory."""
    place = tmp_path_factory.mktemp("command")
    data = f"data_path={write_pair(place, num_train=4, num_test=6, num_classes=4)[1]},window_size=8"

    def run(name: str, *flags: str, status: int = 0):
        done = run_main("CTR-GCN", TREE, [
            "--config", "config/nturgbd-cross-subject/default.yaml", "--train-feeder-args", data, "--test-feeder-args",
            data, "--model-args", "num_class=4", "--device", "cpu", "--num-worker", "0", "--batch-size", "4",
            "--test-batch-size", "4", "--num-epoch", "1", "--work-dir", str(place / name), *flags])
        assert done.status == status, done.err
        return done, place / name

    return run


def scores_of(folder) -> dict[str, np.ndarray]:
    return pickle.loads((folder / "epoch1_test_score.pkl").read_bytes())


def test_the_flag_trains_on_random_shares_and_tests_on_one(command):
    _, trained = command("trained", "--observe", "random")
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["observe"] == [0.1, 1.0] and "observe" not in config["train_feeder_args"]
    test = ("--config", str(trained / "config.yaml"), "--phase", "test", "--weights", str(trained / "best.pt"),
            "--save-score", "true")
    plain, all_of_it, half = (scores_of(command(name, *test, *flags)[1])
                              for name, flags in (("plain", ()), ("all", ("--observe", "1")),
                                                  ("half", ("--observe", "0.5"))))
    trained_scores = scores_of(trained)  # evaluated on whole clips: a range is for training clips
    assert all(np.array_equal(plain[name], scores[name]) for scores in (all_of_it, trained_scores) for name in plain)
    assert not any(np.array_equal(plain[name], half[name]) for name in plain)


@pytest.mark.parametrize(("flags", "complaint"), [
    (("--observe", "1.5"), "expected a share in (0, 1], a range such as 0.1-1.0, or random, not '1.5'"),
    (("--observe", "0.5", "--feeder", "torch.utils.data.TensorDataset"), "takes no option 'observe'"),
])
def test_bad_words_are_refused(command, flags, complaint):
    done, _ = command("refused", *flags, status=2)
    assert complaint in done.err and "Traceback" not in done.err
