"""NTU archives: clips against golden figures and against a plain reading of the definition; options; bad input."""

from __future__ import annotations

import multiprocessing
import pickle

import numpy as np
import pytest
import torch

from skeleton_lab.errors import UserError
from tests.plain_feeder import PlainFeeder
from tests.trees import ROOT

GOLDEN = ROOT / "tests" / "golden" / "feeders.npz"
NUM_CLIPS, NUM_FRAMES = 120, 150


@pytest.fixture(scope="module")
def feeder_class(tree):
    return tree.load("feeders.feeder_ntu.Feeder")


@pytest.fixture(scope="module")
def golden_archive(golden, tmp_path_factory):
    """The recordings that the golden figures were read off on."""
    path = tmp_path_factory.mktemp("golden") / "NTU60_CS.npz"
    np.savez(path, **{key: golden[f"NTU60_CS/{key}"] for key in ("x_train", "y_train", "x_test", "y_test")})
    return path


def made_up_clips(rng):
    """(N, T, 150) of unequal length: clip 3 is empty, clip 4 has one frame, clip 5 fills T, clip 6 has a gap."""
    data = np.zeros((NUM_CLIPS, NUM_FRAMES, 150), np.float32)
    for i, length in enumerate(rng.integers(20, NUM_FRAMES, NUM_CLIPS)):
        length = {3: 0, 4: 1, 5: NUM_FRAMES}.get(i, length)
        data[i, :length, :75 if i % 3 else 150] = rng.standard_normal((length, 75 if i % 3 else 150))
    data[6, 10] = 0
    return data


def to_converted(data):
    return np.ascontiguousarray(data.reshape(*data.shape[:2], 2, 25, 3).transpose(0, 4, 1, 3, 2))


@pytest.fixture(scope="module")
def run_packing(run_script):
    """Return a function that packs an archive and returns the new one's path."""

    def pack(path):
        packed = path.with_name("packed.npz")
        run_script("dataset_tools/pack_npz.py", "--input", path, "--output", packed).check_returncode()
        return packed

    return pack


@pytest.fixture(scope="module")
def archives(tmp_path_factory, run_packing):
    """The same made-up clips in all layouts, with their arrays."""
    folder = tmp_path_factory.mktemp("made_up")
    rng = np.random.default_rng(7)
    data, labels = made_up_clips(rng), rng.integers(0, 60, NUM_CLIPS)
    one_hot = np.eye(60)[labels]
    paths = {"kaggle": folder / "kaggle.npz", "converted": folder / "converted.npz"}
    np.savez(paths["kaggle"], x_train=data, y_train=one_hot, x_test=data[:9], y_test=one_hot[:9])
    np.savez(paths["converted"], x_train=to_converted(data), y_train=labels,
             x_test=to_converted(data[:9]), y_test=labels[:9])
    paths["packed"] = run_packing(paths["kaggle"])
    return paths, data, labels


def seed():
    np.random.seed(3)
    torch.manual_seed(3)


@pytest.mark.parametrize("vel", [False, True])
@pytest.mark.parametrize("bone", [False, True])
@pytest.mark.parametrize(("split", "share"), [("test", 0.95), ("train", 1.0)])
def test_clips_are_the_golden_ones(feeder_class, golden, golden_archive, split, share, bone, vel):
    feeder = feeder_class(str(golden_archive), split=split, p_interval=[share], window_size=64, bone=bone, vel=vel)
    expected = golden[f"ntu/{split}_p{share}_bone{int(bone)}_vel{int(vel)}"]
    data, labels, _ = feeder.get_batch(range(len(feeder)))
    np.testing.assert_allclose(data.numpy()[:len(expected)], expected, rtol=0, atol=1e-6)
    assert labels.tolist() == golden[f"ntu/{split}_label"].tolist()


def test_other_window_is_the_golden_one(feeder_class, golden, golden_archive):
    feeder = feeder_class(str(golden_archive), split="test", p_interval=[0.95], window_size=20)
    data, _, _ = feeder.get_batch(range(3))
    np.testing.assert_allclose(data.numpy(), golden["ntu/test_window20"], rtol=0, atol=1e-6)


TRAINING = {"split": "train", "p_interval": [0.5, 1], "window_size": 64, "random_rot": True}
TESTING = {"split": "test", "p_interval": [0.95], "window_size": 64}


@pytest.mark.parametrize("options", [
    TRAINING, TRAINING | {"bone": True}, TRAINING | {"vel": True}, TRAINING | {"bone": True, "vel": True},
    TRAINING | {"window_size": 30}, TESTING, TESTING | {"bone": True, "vel": True}])
def test_batches_follow_the_definition_and_its_draws(feeder_class, archives, options):
    paths, data, labels = archives
    feeder = feeder_class(str(paths["kaggle"]), **options)
    plain = PlainFeeder(data, **{key: value for key, value in options.items() if key != "split"})
    indices = [5, 4, 3, 6, 0, 8, 7] if options["split"] == "test" else [5, 90, 4, 3, 119, 6, 0, 33]
    seed()
    batch, batch_labels, returned = feeder.get_batch(indices)
    seed()
    expected = plain.get_batch(indices)
    np.testing.assert_allclose(batch.numpy(), expected, rtol=0, atol=1e-5)  # places between frames are float32
    assert batch_labels.tolist() == labels[indices].tolist()
    assert returned.tolist() == indices
    assert (batch.dtype, batch.shape) == (torch.float32, (len(indices), 3, options["window_size"], 25, 2))


@pytest.mark.parametrize("options", [TRAINING | {"bone": True, "vel": True}, TESTING])
def test_items_batches_and_layouts_agree_to_the_bit(feeder_class, archives, options):
    paths, _, _ = archives
    indices = list(range(9))
    batches = {}
    for layout, path in paths.items():
        feeder = feeder_class(str(path), **options)
        seed()
        batches[layout] = feeder.get_batch(indices)[0].numpy()
        seed()
        items = np.stack([feeder[index][0] for index in indices])
        np.testing.assert_array_equal(items, batches[layout])
    np.testing.assert_array_equal(batches["kaggle"], batches["converted"])
    np.testing.assert_array_equal(batches["kaggle"], batches["packed"])


def test_empty_clip_is_zeros(feeder_class, archives):
    clip, label, index = feeder_class(str(archives[0]["kaggle"]), **TRAINING)[3]
    assert not clip.any()
    assert (label, index) == (archives[2][3], 3)


def test_options_do_what_they_say(feeder_class, archives):
    path = str(archives[0]["kaggle"])
    feeder = feeder_class(path, split="train", p_interval=0.95, window_size=10, debug=True)
    assert len(feeder) == len(feeder.label) == len(feeder.sample_name) == 100
    assert feeder.sample_name[:2] == ["train_0", "train_1"]
    assert feeder.p_interval == (0.95,)
    with pytest.raises(IndexError):
        feeder[100]


@pytest.mark.parametrize("layout", ["kaggle", "converted", "packed"])
def test_in_memory_or_mapped_is_the_same(feeder_class, archives, layout):
    path = str(archives[0][layout])
    in_memory = feeder_class(path, **TESTING, use_mmap=False)
    assert in_memory.sample_name[-1] == "test_8"
    np.testing.assert_array_equal(in_memory[2][0], feeder_class(path, **TESTING)[2][0])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_what_a_clip_holds_is_found_once_for_all_processes(feeder_class, archives):
    """A clip that another process has looked at is not looked at again: what stands in its place says so."""
    feeder = feeder_class(str(archives[0]["kaggle"]), **TESTING)
    worker = multiprocessing.get_context("fork").Process(target=feeder.get_batch, args=([0, 2],))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    looked_at = []
    look_at = feeder._reader._rows.look_at
    feeder._reader._rows.look_at = lambda index: looked_at.append(index) or look_at(index)
    feeder.get_batch([0, 1, 2])
    assert looked_at == [1]


def test_pages_are_let_go_and_read_again(feeder_class, archives, monkeypatch):
    from skeleton_lab.data.feeders import spans
    monkeypatch.setattr(spans, "MAX_MAPPED_CLIPS", 1)
    feeder = feeder_class(str(archives[0]["kaggle"]), **TESTING)
    first = feeder.get_batch(range(9))[0]
    assert torch.equal(first, feeder.get_batch(range(9))[0])
    assert first.any()


@pytest.mark.parametrize("layout", ["kaggle", "converted", "packed"])
def test_feeder_travels_to_another_process(feeder_class, archives, layout):
    feeder = feeder_class(str(archives[0][layout]), **TESTING)
    sent = pickle.dumps(feeder)
    assert len(sent) < 20_000
    np.testing.assert_array_equal(pickle.loads(sent)[1][0], feeder[1][0])


@pytest.mark.parametrize("layout", ["kaggle", "converted"])
def test_clip_with_nan_is_named(feeder_class, archives, tmp_path, layout):
    _, data, labels = archives
    data = data[:6].copy()
    data[5, 100, 7] = np.nan
    path = tmp_path / "nan.npz"
    np.savez(path, x_test=data if layout == "kaggle" else to_converted(data), y_test=labels[:6])
    feeder = feeder_class(str(path), **TESTING)
    feeder.get_batch([0, 1, 2])
    with pytest.raises(UserError, match=r"nan\.npz: clip 5 of the test split"):
        feeder.get_batch([4, 5])


@pytest.mark.parametrize("options", [
    {"window_size": 0}, {"window_size": -1}, {"window_size": 6.5}, {"p_interval": []}, {"p_interval": [1, 0.5]},
    {"p_interval": [0, 1]}, {"p_interval": "half"}, {"p_interval": [0.2, 0.5, 1]}, {"normalization": True},
    {"random_choose": True}, {"random_shift": True}, {"random_move": True}, {"label_path": "labels.pkl"}])
def test_refusals_name_the_option(feeder_class, archives, options):
    with pytest.raises(UserError, match=next(iter(options))):
        feeder_class(str(archives[0]["kaggle"]), **(TESTING | options))


def test_unknown_split_is_refused(feeder_class, archives):
    with pytest.raises(UserError, match="split 'dev'"):
        feeder_class(str(archives[0]["kaggle"]), split="dev", window_size=64)


def test_top_k(feeder_class, archives):
    feeder = feeder_class(str(archives[0]["kaggle"]), **TESTING)
    score = np.random.default_rng(0).random((9, 60))
    score[np.arange(9), feeder.label] = np.where(np.arange(9) < 6, 2, -1)
    assert feeder.top_k(score, 1) == pytest.approx(6 / 9)
    assert feeder.top_k(score, 60) == 1


def test_tools_are_the_shared_ones(tree):
    clip = np.arange(3 * 10 * 25 * 2, dtype=np.float32).reshape(3, 10, 25, 2)
    assert tree.load("feeders.tools.random_choose")(clip, 4).shape == (3, 4, 25, 2)
