"""Weights that are searched: equal ones stay unless others are better by more than chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.metrics import top_k_accuracy
from skeleton_lab.streams.fuse import Stream, fuse
from skeleton_lab.streams.search import sample_losses, search_weights, split_in_halves, take


def streams(truth: np.ndarray, strengths: tuple[float, ...], seed: int, classes: int = 5) -> list[Stream]:
    """Return a stream for each strength: how far the right class stands out of standard normal logits."""
    draws = np.random.default_rng(seed)
    logits = [draws.standard_normal((len(truth), classes)) + strength * np.eye(classes)[truth]
              for strength in strengths]
    return [Stream(str(number), Path(str(number)), list(range(len(truth))), scores.astype(np.float32))
            for number, scores in enumerate(logits)]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_streams_as_good_as_each_other_keep_equal_weights(count):
    truth = np.arange(200) % 5
    for seed in range(5):
        assert search_weights(streams(truth, (1.5,) * count, seed), truth) == [1 / count] * count


@pytest.mark.parametrize("strengths", [(2, 0), (2, 2, 0), (2, 2, 2, 2, 0)])
def test_a_stream_of_noise_gets_the_least(strengths):
    truth = np.arange(400) % 5
    weights = search_weights(streams(truth, strengths, 1), truth)
    assert min(weights[:-1]) > 1.5 * weights[-1] and sum(weights) == pytest.approx(1)


def test_no_worse_than_equal_weights_on_the_half_that_was_not_searched():
    """On so few samples the most accurate weights of a half are chance; their loss is less so."""
    truth = np.arange(100) % 5
    searched, alike = [], []
    for seed in range(20):
        both = streams(truth, (1.6, 1.4), seed)
        search, rest = split_in_halves(truth, seed)
        weights = search_weights(take(both, search), truth[search])
        for found, each in ((searched, weights), (alike, [0.5, 0.5])):
            found.append(top_k_accuracy(fuse(take(both, rest), each), truth[rest], 1))
    assert np.mean(searched) >= np.mean(alike) - 0.002


def test_losses_are_cross_entropies():
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(1).standard_normal((7, 4)).astype(np.float32) * 40
    truth = np.arange(7) % 4
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits).double(), torch.tensor(truth), reduction="none")
    np.testing.assert_allclose(sample_losses(logits, truth), expected, atol=1e-9)
