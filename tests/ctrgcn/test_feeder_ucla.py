"""NW-UCLA: the lists, and the clips of real recordings against golden figures."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from skeleton_lab.errors import UserError
from tests.trees import ROOT

GOLDEN = ROOT / "tests" / "golden" / "feeders.npz"
RECORDINGS = ROOT / "CTR-GCN" / "data" / "NW-UCLA" / "all_sqe"

needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason=f"no NW-UCLA recordings in {RECORDINGS.relative_to(ROOT)} (they are licensed)")


@pytest.fixture(scope="module")
def feeder_class(tree):
    return tree.load("feeders.feeder_ucla.Feeder")


def made_up_recordings(root, names, rng):
    """Write random walks as recordings; returns name -> (T, 20, 3). The first has a single frame."""
    root.mkdir(parents=True)
    written = {}
    for i, name in enumerate(names):
        frames = np.round(rng.standard_normal((1 + 2 * (i % 12), 20, 3)).cumsum(axis=0), 6)
        (root / f"{name}.json").write_text(json.dumps({"file_name": name, "skeletons": frames.tolist(), "label": 1}))
        written[name] = frames
    return written


@pytest.fixture(scope="module")
def made_up(tree, tmp_path_factory):
    """A folder of made-up recordings for both lists."""
    recordings = tree.load("feeders.ucla_split.recordings")
    root = tmp_path_factory.mktemp("ucla") / "all_sqe"
    names = [recording.name for part in ("train", "val") for recording in recordings(part)]
    return root, made_up_recordings(root, names, np.random.default_rng(0))


def by_definition(frames, degrees, picks, bone, motion, parents):
    """One clip (C, T, V, M) in plain steps."""
    x, y = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), np.sin(x)], [0, -np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    turned = (frames - frames[0, 1]) @ about_y @ about_x
    for axis in range(3):
        values = turned[..., axis]
        extent = values.max() - values.min()
        turned[..., axis] = 2 * (values - values.min()) / extent - 1 if extent else 0
    clip = turned[picks]
    if bone:
        clip = clip - clip[:, parents]
    if motion:
        clip = np.concatenate([clip[1:] - clip[:-1], np.zeros_like(clip[:1])])
    return clip.transpose(2, 0, 1)[..., None]


@pytest.mark.parametrize("part", ["train", "val"])
def test_lists_hold_the_published_members(tree, golden, part):
    listed = tree.load("feeders.ucla_split.recordings")(part)
    expected = dict(zip(golden[f"ucla/{part}_files"].tolist(), golden[f"ucla/{part}_label"].tolist(), strict=True))
    assert len(listed) == len(expected) == {"train": 1020, "val": 464}[part]
    assert {recording.name: recording.label for recording in listed} == expected


@needs_recordings
@pytest.mark.parametrize("stream", ["joint", "bone", "motion", "bone motion"])
def test_real_clips_are_the_golden_ones(feeder_class, golden, stream):
    feeder = feeder_class(stream, "val", root=str(RECORDINGS))
    expected = golden["ucla/val_" + stream.replace(" ", "_")]
    names = golden["ucla/val_files"][:len(expected)].tolist()
    data, labels, _ = feeder.get_batch([feeder.sample_name.index(name) for name in names])
    np.testing.assert_allclose(data.numpy(), expected, rtol=0, atol=1e-6)
    assert labels.tolist() == golden["ucla/val_label"][:len(expected)].tolist()


@needs_recordings
def test_every_real_clip_is_finite(feeder_class):
    for part in ("train", "val"):
        feeder = feeder_class("joint", part, root=str(RECORDINGS))
        data, _, _ = feeder.get_batch(range(len(feeder)))
        assert torch.isfinite(data).all()
        assert data.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("stream", ["joint", "bone", "motion", "bone motion"])
def test_training_clips_follow_the_definition_and_its_draws(feeder_class, made_up, stream):
    root, frames_of = made_up
    feeder = feeder_class(stream, "train", root=str(root), random_choose=True)
    parents = [1, 2, 2, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18]
    indices = [3, 0, 12, 700, 1019]
    random.seed(5)
    data, labels, returned = feeder.get_batch(indices)
    random.seed(5)
    for i, index in enumerate(indices):
        frames = frames_of[feeder.sample_name[index]]
        random.random()
        degrees = (random.randint(-60, 60), random.randint(-60, 60))
        random.uniform(0.5, 1.5)
        picks = sorted(random.sample(list(range(len(frames))) * 100, 52))
        expected = by_definition(frames, degrees, picks, "bone" in stream, "motion" in stream, parents)
        np.testing.assert_allclose(data[i].numpy(), expected, rtol=0, atol=1e-6)
        assert labels[i] == feeder.label[index]
    assert returned.tolist() == indices
    assert data.dtype == torch.float32


def test_items_and_batches_agree(feeder_class, made_up):
    root, _ = made_up
    feeder = feeder_class("bone motion", "train", root=str(root), repeat=2)
    indices = [5, 1020 + 5, 2039, 0]
    random.seed(1)
    data, labels, _ = feeder.get_batch(indices)
    random.seed(1)
    for i, index in enumerate(indices):
        item, label, returned = feeder[index]
        np.testing.assert_array_equal(item, data[i].numpy())
        assert (label, returned) == (labels[i], index)
    assert len(feeder) == 2040
    assert feeder[5][1] == feeder[1025][1]
    with pytest.raises(IndexError):
        feeder[2040]


def test_one_frame_clip_is_still_and_finite(feeder_class, made_up):
    root, frames_of = made_up
    feeder = feeder_class("motion", "train", root=str(root))
    index = next(i for i, name in enumerate(feeder.sample_name) if len(frames_of[name]) == 1)
    assert not feeder[index][0].any()


def test_constant_axis_becomes_zeros(feeder_class, made_up):
    root, frames_of = made_up
    name = "a01_s01_e00_v03"
    flat = frames_of[name].copy()
    flat[..., 2] = 1.5
    path = root / f"{name}.json"
    before = path.read_text()
    path.write_text(json.dumps({"skeletons": flat.tolist()}))
    try:
        feeder = feeder_class("joint", "val", root=str(root))
        clip = feeder[feeder.sample_name.index(name)][0]
    finally:
        path.write_text(before)
    assert not clip[2].any()
    assert np.isfinite(clip).all()


def test_options_do_what_they_say(feeder_class, made_up):
    root, _ = made_up
    feeder = feeder_class("joint", "train", root=str(root), window_size=20, debug=True, random_choose=False)
    assert len(feeder) == len(feeder.sample_name) == 100
    assert feeder[0][0].shape == (3, 20, 20, 1)
    assert len(feeder_class("joint", "data/val_label.pkl", root=str(root))) == 464


@pytest.mark.parametrize("stream", ["joint", "bone motion"])
def test_training_clips_that_are_held_out_are_served_as_in_a_test(feeder_class, made_up, stream):
    root, _ = made_up
    held_out, drawn = (feeder_class(stream, "train", root=str(root)) for _ in range(2))
    held_out.as_tested()
    tested = feeder_class(stream, "val", root=str(root), names=held_out.sample_name)
    rows = [5, 9, 700]
    assert torch.equal(held_out.get_batch(rows)[0], tested.get_batch(rows)[0])
    assert not torch.equal(held_out.get_batch(rows)[0], drawn.get_batch(rows)[0])
    assert held_out.label == drawn.label


@pytest.mark.parametrize(("options", "named"), [
    ({"random_move": True}, "random_move"), ({"random_shift": True}, "random_shift"),
    ({"normalization": True}, "normalization"), ({"use_mmap": True}, "use_mmap"), ({"window_size": 0}, "window_size"),
    ({"repeat": 0}, "repeat"), ({"label_path": "val", "repeat": 5}, "repeat"), ({"data_path": "x.npz"}, "data_path"),
    ({"root": "nowhere/all_sqe"}, "tar -xJf"),
])
def test_refusals_name_the_option(feeder_class, made_up, options, named):
    with pytest.raises(UserError, match=named):
        feeder_class(**{"data_path": "joint", "label_path": "train", "root": str(made_up[0]), **options})


@pytest.mark.parametrize("content", ["not json", "{}", '{"skeletons": [[1, 2]]}', '{"skeletons": []}',
                                     '{"skeletons": [[[NaN, 0, 0]' + ", [0, 0, 0]" * 19 + "]]}"])
def test_broken_recording_is_named(feeder_class, made_up, content):
    path = made_up[0] / "a01_s01_e00_v03.json"
    before = path.read_text()
    path.write_text(content)
    try:
        with pytest.raises(UserError, match=path.name):
            feeder_class("joint", "val", root=str(made_up[0]))
    finally:
        path.write_text(before)


def test_top_k(feeder_class, made_up):
    feeder = feeder_class("joint", "val", root=str(made_up[0]))
    score = np.zeros((464, 10))
    score[np.arange(464), feeder.label] = 1
    score[:232] *= -1
    assert feeder.top_k(score, 1) == 0.5
    assert feeder.top_k(score, 10) == 1


@pytest.mark.parametrize("stream", ["joint", "bone", "motion"])
def test_frames_without_anybody(feeder_class, tmp_path, stream):
    """Cut off at both ends; in between empty, and no part of centring and scaling."""
    body = np.random.default_rng(3).standard_normal((9, 20, 3)) + 2.8
    gap = body.copy()
    gap[3:5] = 0
    closed = body.copy()
    closed[3:5] = body[2]
    nobody = np.zeros((4, 20, 3))
    for name, frames in (("whole", body), ("late", np.concatenate([nobody, body, nobody])), ("gap", gap),
                         ("closed", closed), ("empty", nobody)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"skeletons": frames.tolist(), "label": 1}))
    feeder = feeder_class(stream, "val", root=str(tmp_path), names=["whole", "late", "gap", "closed"], window_size=9)
    whole, late, gap, closed = (np.asarray(clip) for clip in feeder.get_batch(range(4))[0])  # (C, T, V, M)
    assert whole.any() and np.array_equal(whole, late)
    there = [0, 1, 5, 6, 7, 8] if stream == "motion" else [0, 1, 2, 5, 6, 7, 8]
    np.testing.assert_array_equal(gap[:, there], closed[:, there])
    assert not gap[:, [3, 4]].any() and not feeder.recorded(2).frames[3:5].any()
    with pytest.raises(UserError, match=r"empty\.json: no frame holds a body"):
        feeder_class(stream, "val", root=str(tmp_path), names=["empty"])
