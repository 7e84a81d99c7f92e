"""Fusing streams: joined by name, weights searched apart from what is reported, gains by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import top_k_accuracy
from skeleton_lab.pickles import dump_plain_pickle
from skeleton_lab.streams.fuse import Stream, align, fuse, read_stream, truth_of
from skeleton_lab.streams.search import best_of, class_gains, search_weights, split_in_halves, take

CLASSES = 4


def stream(truth: np.ndarray, strength: float, seed: int, name: str = "s") -> Stream:
    """Return logits that point at the truth by `strength`, in noise of deviation 1."""
    scores = np.random.default_rng(seed).standard_normal((len(truth), CLASSES)) + strength * np.eye(CLASSES)[truth]
    return Stream(name, Path(f"{name}.pkl"), [f"clip_{i}" for i in range(len(truth))], scores.astype(np.float32))


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).integers(0, CLASSES, 401)


def test_fusing_joins_by_name(truth):
    first, second = stream(truth, 1, 1), stream(truth, 1, 2)
    order = np.random.default_rng(3).permutation(len(truth))
    shuffled = Stream("x", Path("x.pkl"), [second.names[i] for i in order], second.scores[order])
    np.testing.assert_allclose(fuse([first, shuffled], [0.6, 0.4]), 0.6 * first.scores + 0.4 * second.scores, rtol=1e-6)
    assert [aligned.names for aligned in align([first, shuffled])] == [first.names] * 2


def test_halves_share_out_each_class_and_no_sample_twice(truth):
    search, report = split_in_halves(truth, seed=5)
    assert sorted([*search, *report]) == list(range(len(truth)))
    for label in range(CLASSES):
        counts = [(truth[part] == label).sum() for part in (search, report)]
        assert counts[1] - counts[0] in (0, 1)
    assert not np.array_equal(search, split_in_halves(truth, seed=6)[0])
    np.testing.assert_array_equal(search, split_in_halves(truth, seed=5)[0])
    with pytest.raises(UserError, match="two samples"):
        split_in_halves(np.arange(CLASSES), seed=1)


@pytest.mark.parametrize("strengths", [(2, 0), (0, 2, 0), (0, 0, 0, 2, 0, 0)])
def test_the_search_trusts_the_stream_that_knows(truth, strengths):
    streams = [stream(truth, strength, seed) for seed, strength in enumerate(strengths, 10)]
    weights = search_weights(streams, truth)
    assert sum(weights) == pytest.approx(1)
    assert int(np.argmax(weights)) == strengths.index(2) and max(weights) >= 0.6
    plain = top_k_accuracy(fuse(streams, [1] * len(streams)), truth, 1)
    assert top_k_accuracy(fuse(streams, weights), truth, 1) > plain


def test_of_weights_that_hit_alike_the_one_of_least_loss(truth):
    certain, noise = stream(truth, 12, 1), stream(truth, 0, 2)
    assert {top_k_accuracy(fuse([certain, noise], [w, 1 - w]), truth, 1) for w in (0.6, 0.8, 1)} == {1.0}
    assert search_weights([certain, noise], truth)[0] >= 0.9


def test_gains_are_recalls_by_class(truth):
    weak, strong = stream(truth, 0.5, 1, "weak"), stream(truth, 1.5, 2, "strong")
    assert best_of([weak, strong], truth).name == "strong"
    fused = fuse([weak, strong], [1, 1])
    rows = class_gains(truth, strong.scores, fused)
    assert [row[0] for row in rows] == list(range(CLASSES)) and sum(row[1] for row in rows) == len(truth)
    for label, samples, before, after, gain in rows:
        own = truth == label
        assert before == pytest.approx((strong.scores[own].argmax(axis=1) == label).sum() / samples)
        assert after == pytest.approx((fused[own].argmax(axis=1) == label).sum() / samples)
        assert gain == pytest.approx(after - before)


def test_taking_samples_keeps_the_streams_together(truth):
    first, second = stream(truth, 1, 1), stream(truth, 1, 2)
    places = np.array([7, 3])
    for before, after in zip((first, second), take([first, second], places), strict=True):
        assert after.names == ["clip_7", "clip_3"]
        np.testing.assert_array_equal(after.scores, before.scores[places])


def test_scores_that_are_no_numbers_are_refused(tmp_path):
    scores = {f"clip_{i}": np.full(CLASSES, np.nan if i in (2, 3) else 0, np.float32) for i in range(5)}
    dump_plain_pickle(tmp_path / "s.pkl", scores)
    with pytest.raises(UserError, match=r"'clip_2' and 1 more samples are NaN"):
        read_stream("joint", tmp_path / "s.pkl")


def test_labels_must_cover_the_samples_and_fit_the_classes(truth):
    one = stream(truth, 1, 1)
    labels = dict(zip(one.names, truth.tolist(), strict=True))
    np.testing.assert_array_equal(truth_of([one], labels), truth)
    with pytest.raises(UserError, match=r"'clip_9' has no label .*\(1 such\)"):
        truth_of([one], {name: label for name, label in labels.items() if name != "clip_9"})
    with pytest.raises(UserError, match="scores of 4 classes, but labels from 0 to 4"):
        truth_of([one], {**labels, "clip_9": 4})
