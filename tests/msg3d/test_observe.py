"""--observe in MS-G3D: the observed frames and, after them, what follows the frames in the file."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.errors import UserError
from skeleton_lab.train.config import read_config
from skeleton_lab.train.setup import open_part
from tests.trees import ROOT

NUM_CLIPS, T, SHARE = 8, 50, 0.3


@pytest.fixture(scope="module")
def feeder_class(tree):
    return tree.load("feeders.feeder.Feeder")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Clips whole and cut, pre-normalised (frames repeat) or not (zeros follow): (kind, repeats) -> arguments."""
    folder, rng = tmp_path_factory.mktemp("msg3d"), np.random.default_rng(0)
    clips = rng.standard_normal((NUM_CLIPS, 3, T, 25, 2)).astype(np.float32)
    short = clips.copy()
    for number, num_valid in enumerate(rng.integers(3, T, NUM_CLIPS)):
        clips[number, :, num_valid:] = 0
        short[number, :, max(1, round(SHARE * num_valid)):] = 0
        if number % 2:
            clips[number, ..., 1] = short[number, ..., 1] = 0
    write_labels(folder / "label.pkl", [f"clip{number}" for number in range(NUM_CLIPS)], list(range(NUM_CLIPS)))
    arguments = {}
    for kind, data in (("whole", clips), ("cut", short)):
        for repeats in (True, False):
            path = folder / f"{kind}_{repeats}.npy"
            np.save(path, pre_normalize(data) if repeats else data)
            arguments[kind, repeats] = {"data_path": str(path), "label_path": str(folder / "label.pkl")}
    return arguments


def batch_of(feeder) -> torch.Tensor:
    random.seed(3)
    np.random.seed(3)
    return feeder.get_batch(range(NUM_CLIPS))[0]


@pytest.mark.parametrize("options", [{}, {"random_choose": True, "window_size": 20}, {"window_size": 64},
                                     {"random_move": True}])
@pytest.mark.parametrize("repeats", [True, False])
def test_the_first_part_is_what_recordings_that_end_there_give(feeder_class, files, repeats, options):
    whole, short = files["whole", repeats], files["cut", repeats]
    plain = batch_of(feeder_class(**whole, **options))
    assert torch.equal(batch_of(feeder_class(**whole, **options, observe=1)), plain)
    seen = batch_of(feeder_class(**whole, **options, observe=SHARE))
    torch.testing.assert_close(seen, batch_of(feeder_class(**short, **options)), rtol=0, atol=1e-6)
    assert not torch.equal(seen, plain) and seen.dtype == torch.float32
    drawing = feeder_class(**whole, **options, observe=[0.1, 1])
    drawn = batch_of(drawing)
    random.seed(3)
    np.random.seed(3)
    assert np.array_equal(np.stack([drawing[index][0] for index in range(NUM_CLIPS)]), drawn.numpy())
    assert not torch.equal(drawn, plain)


def test_bad_shares_are_refused(feeder_class, files):
    with pytest.raises(UserError, match=r"^feeders\.feeder\.Feeder: observe=0 is no share of a clip"):
        feeder_class(**files["whole", True], observe=0)


@pytest.mark.parametrize(("flag", "of_training", "of_test"), [
    ((), (1, 1), (1, 1)), (("--observe", "0.2"), (0.2, 0.2), (0.2, 0.2)),
    (("--observe", "random"), (0.1, 1), (1, 1)), (("--observe=0.3-0.6",), (0.3, 0.6), (1, 1)),
    (("--test-feeder-args", "observe=0.7"), (1, 1), (0.7, 0.7)),
    (("--observe", "1", "--test-feeder-args", "observe=0.7"), (1, 1), (1, 1))])
def test_the_flag_reaches_the_feeders(tree, files, flag, of_training, of_test):
    main = tree.load("main.SPEC")
    arguments = ",".join(f"{key}={value}" for key, value in files["whole", True].items())
    config = read_config(main, ["--config", str(ROOT / "MS-G3D/config/nturgbd-cross-subject/train_joint.yaml"),
                                "--train-feeder-args", arguments, "--test-feeder-args", arguments, "--batch-size", "4",
                                "--forward-batch-size", "4", "--num-worker", "0", *flag])
    setup = SimpleNamespace(config=config, device=torch.device("cpu"), world=None, vectors=None,
                            work_dir=SimpleNamespace(log=lambda line: None))
    for training, expected in ((True, of_training), (False, of_test)):
        observation = open_part(setup, training).feeder.observation
        assert (observation.least, observation.most) == expected
