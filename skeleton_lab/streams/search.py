"""Choosing the weights of an ensemble, on samples that its accuracy is not reported on; and what it gains by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import top_k_accuracy
from skeleton_lab.streams.fuse import Stream, align, fuse

STEPS = 10  # weights are tenths
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
    """Return the weights, tenths that add up to 1, of the highest top-1 accuracy; of equal ones the lowest loss.

    The loss is the mean cross-entropy of the weighted sum of logits.
    """
    aligned = align(streams)
    if len(aligned) <= _MOST_COMBINED:
        return list(max(_shares(len(aligned)), key=lambda weights: _quality(aligned, list(weights), truth)))
    best: tuple[float, ...] = tuple(1 / len(aligned) for _ in aligned)
    while True:
        better = max([best, *_neighbours(best)], key=lambda weights: _quality(aligned, list(weights), truth))
        if better == best:
            return list(best)
        best = better


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


def _quality(aligned: Sequence[Stream], weights: Sequence[float], truth: NDArray[np.int64]) -> tuple[float, float]:
    fused = fuse(aligned, weights)
    fused = fused - fused.max(axis=1, keepdims=True)
    losses = np.log(np.exp(fused).sum(axis=1)) - fused[np.arange(len(truth)), truth]
    return top_k_accuracy(fused, truth, 1), -float(losses.mean())


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
