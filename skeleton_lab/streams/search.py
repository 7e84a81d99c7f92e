"""Choosing the weights of an ensemble, on samples that its accuracy is not reported on; and what it gains by class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import top_k_accuracy
from skeleton_lab.streams.fuse import Stream, align, fuse

STEPS = 10  # weights are tenths
_ERRORS = 2  # standard errors that chance explains
_MOST_COMBINED = 4  # streams of which every combination is tried; of more, one weight at a time is improved


def split_in_halves(truth: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the samples to search on and of those to report: of each class a random half.

    The odd sample of a class is reported.

    Raises:
        UserError: no class has two samples.
    """
    draws = np.random.default_rng(seed)
    chosen = [draws.permutation(np.flatnonzero(truth == label)) for label in np.unique(truth)]
    search = np.sort(np.concatenate([places[:len(places) // 2] for places in chosen])) if chosen else np.empty(0, int)
    if not len(search):
        raise UserError("no class has two samples, so that no half can be held out; give --search-scores of other data")
    return search, np.setdiff1d(np.arange(len(truth)), search)


def take(streams: Sequence[Stream], places: NDArray[np.int64]) -> list[Stream]:
    """Return the streams with some samples only, all in the first one's order."""
    return [replace(stream, names=[stream.names[place] for place in places], scores=stream.scores[places])
            for stream in align(streams)]


def search_weights(streams: Sequence[Stream], truth: NDArray[np.int64]) -> list[float]:
    """Return weights that add up to 1: all alike, unless others are better by more than chance explains.

    Tried are all tenths; of more than four streams one weight at a time, as long as that helps. The measure is the
    loss, the mean cross-entropy of the weighted sum of logits, which changes with every sample, where accuracy jumps
    with a few. Taken are those nearest to all alike of which the loss exceeds the least by at most two standard errors
    of that difference (after the rule of one such: Breiman et al., Classification and Regression Trees, 1984).
    """
    aligned = align(streams)
    alike = tuple(1 / len(aligned) for _ in aligned)
    known: dict[tuple[float, ...], NDArray[np.float64]] = {}

    def losses(weights: tuple[float, ...]) -> NDArray[np.float64]:
        if weights not in known:
            known[weights] = sample_losses(fuse(aligned, weights), truth)
        return known[weights]

    tried = [alike, *_shares(len(aligned))] if len(aligned) <= _MOST_COMBINED else _path(alike, losses)
    best = min(tried, key=lambda weights: losses(weights).mean())
    for weights in sorted(tried, key=lambda weights: (_distance(weights, alike), losses(weights).mean())):
        excess = losses(weights) - losses(best)
        if excess.mean() <= _ERRORS * excess.std() / np.sqrt(len(truth)):
            return list(weights)
    return list(best)


def sample_losses(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cross-entropy (N,) of logits (N, classes) for the classes `truth` (N,)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(truth)), truth]


def _path(alike: tuple[float, ...],
          losses: Callable[[tuple[float, ...]], NDArray[np.float64]]) -> list[tuple[float, ...]]:
    """Return all weights met on the way from `alike` to a least loss, and those straight between the two."""
    met, best = [alike], alike
    while True:
        around = list(_neighbours(best))
        met += around
        better = min([best, *around], key=lambda weights: losses(weights).mean())
        if better == best:
            straight = [np.array(alike) + step / STEPS * (np.array(best) - alike) for step in range(1, STEPS)]
            return met + [tuple(weights.tolist()) for weights in straight]
        best = better


def _distance(weights: tuple[float, ...], others: tuple[float, ...]) -> float:
    return round(float(np.square(np.subtract(weights, others)).sum()), 9)


def class_gains(truth: NDArray[np.int64], best_stream: NDArray[np.float32],
                ensemble: NDArray[np.float32]) -> list[tuple[int, int, float, float, float]]:
    """Return a row for each class that occurs: class, samples, recall of the stream and of the ensemble, gain."""
    rows = []
    for label in np.unique(truth):
        own = truth == label
        before, after = (float((scores[own].argmax(axis=1) == label).mean()) for scores in (best_stream, ensemble))
        rows.append((int(label), int(own.sum()), before, after, after - before))
    return rows


def best_of(streams: Sequence[Stream], truth: NDArray[np.int64]) -> Stream:
    """Return the aligned stream of the highest top-1 accuracy, the first of several."""
    return max(align(streams), key=lambda stream: top_k_accuracy(stream.scores, truth, 1))


def _shares(count: int) -> Iterator[tuple[float, ...]]:
    """Yield every way to share out `STEPS` steps among `count` streams, as weights."""
    for bars in combinations(range(STEPS + count - 1), count - 1):
        ends = (-1, *bars, STEPS + count - 1)
        yield tuple((after - before - 1) / STEPS for before, after in pairwise(ends))


def _neighbours(weights: tuple[float, ...]) -> Iterator[tuple[float, ...]]:
    """Yield weights of which one is a step larger or smaller, and all then add up to 1 again."""
    for place in range(len(weights)):
        for step in (-1 / STEPS, 1 / STEPS):
            moved = np.array(weights)
            moved[place] = max(moved[place] + step, 0)
            if moved.sum() > 0:
                yield tuple((moved / moved.sum()).tolist())
