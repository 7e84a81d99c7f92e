#!/usr/bin/env python3
"""Fuse the test scores of any number of streams, of one model or of several: a weighted sum of logits.

    python3 ensemble.py --scores work_dir/joint work_dir/bone work_dir/msg3d_joint --labels NTU60_CS.npz \\
        --weights 0.6 0.6 0.4 --output fused.pkl --gains gains.csv
    python3 ensemble.py --scores work_dir/joint work_dir/bone --labels NTU60_CS.npz --search

Samples are joined by name. Weights are searched on a half of the samples (--search) or on other data (--search-scores),
and the accuracy is reported on the rest, never on the same samples. Not for training, or testing weights (main.py).
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, read_early
from skeleton_lab.errors import UserError, run_command


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--scores", nargs="+", required=True, metavar="PATH",
                        help="score files (.pkl), or work directories that hold epoch1_test_score.pkl; results of "
                             "PYSKL (--out) and MMAction2 (--dump) too")
    parser.add_argument("--labels", metavar="SOURCE", help="an NTU archive (.npz), a label pickle of MS-G3D or "
                        "NW-UCLA, an annotation file of PYSKL, a predictions.csv or its work directory, or "
                        "the word names (default: the "
                        "first work directory of --scores that has a predictions.csv)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--weights", nargs="+", type=float, metavar="W",
                        help="one for each stream (default: all alike)")
    chosen.add_argument("--search", action="store_true",
                        help="search the weights on a random half of each class, report the accuracy on the other")
    chosen.add_argument("--search-scores", nargs="+", metavar="PATH",
                        help="search the weights on these, the same streams on other data, a validation split for "
                             "instance; report the accuracy on all of --scores")
    parser.add_argument("--search-labels", metavar="SOURCE", help="labels of --search-scores, as --labels")
    parser.add_argument("--by-position", action="store_true", help="results of PYSKL and MMAction2 have no names: take "
                        "samples at the same place for the same")
    parser.add_argument("--softmax", action="store_true", help="fuse probabilities, not logits, as PYSKL does "
                        "(default: if some of --scores are probabilities)")
    parser.add_argument("--seed", type=int, default=1, help="of the random half (default: %(default)s)")
    parser.add_argument("--gains", type=Path, metavar="CSV",
                        help="write the recall of each class, of the best stream and of the ensemble")
    parser.add_argument("--output", type=Path, metavar="PKL", help="write the fused scores of the reported samples")
    args = parser.parse_args()
    if args.weights and len(args.weights) != len(args.scores):
        raise UserError(f"--weights: {len(args.weights)} weights for {len(args.scores)} streams; give one for each")
    if args.weights and not (all(map(math.isfinite, args.weights)) and any(args.weights)):
        raise UserError(f"--weights {' '.join(map(str, args.weights))}: expected finite numbers, not all of them 0")
    if args.search_scores and len(args.search_scores) != len(args.scores):
        raise UserError(f"--search-scores: {len(args.search_scores)} for {len(args.scores)} streams; give one for "
                        "each, in the order of --scores")
    if args.search_labels and not args.search_scores:
        raise UserError("--search-labels is for --search-scores; leave it out")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: expected 0 or more")
    return args


if __name__ == "__main__":
    OPTIONS = read_early(parse_arguments)  # before the libraries load, which takes seconds

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.data.feeders.truth import read_truth
from skeleton_lab.files import write_text
from skeleton_lab.foreign.score_file import read_streams
from skeleton_lab.metrics import NOT_KNOWN, top_k_accuracy
from skeleton_lab.pickles import dump_plain_pickle
from skeleton_lab.streams.fuse import Stream, align, fuse, read_stream, truth_of
from skeleton_lab.streams.search import best_of, class_gains, sample_losses, search_weights, split_in_halves, take


def main(args: argparse.Namespace) -> None:
    streams, labels = read_all(args)
    for stream in streams:
        if args.output and args.output.exists() and args.output.samefile(stream.path):
            raise UserError(f"--output {args.output}: is one of --scores, which would be lost; give another name")
    truth = truth_of(streams, labels)
    known = np.flatnonzero(truth != NOT_KNOWN)
    if len(known) < len(truth):
        print(f"The class of {len(known)} of {len(truth)} samples is known; all that follows is of these.")
        streams, truth = take(align(streams), known), truth[known]
    weights = args.weights or [1.0] * len(streams)
    if args.search_scores:
        weights = search_elsewhere(args, streams)
        print("Weights searched on --search-scores; all that follows is of --scores, which took no part in it.")
    elif args.search:
        search, reported = split_in_halves(truth, args.seed)
        weights = choose(take(streams, search), truth[search])
        print(f"Weights searched on {len(search)} of the {len(truth)} samples, a random half of each class (--seed "
              f"{args.seed}); all that follows is of the other {len(reported)}.")
        streams, truth = take(streams, reported), truth[reported]
    fused = fuse(streams, weights)
    print_table(streams, weights, fused, truth)
    if args.gains:
        write_gains(args.gains, streams, fused, truth)
    if args.output:
        dump_plain_pickle(args.output, dict(zip(streams[0].names, fused, strict=True)))
        print(f"{args.output}: fused scores of {len(truth)} samples")


def read_all(args: argparse.Namespace) -> tuple[list[Stream], dict]:
    """Return the streams of --scores, ours or results of PYSKL and MMAction2, and the class of each sample."""
    streams, labels = read_streams(names_of(args.scores), args.scores, args.labels, args.by_position, args.softmax)
    return streams, read_truth(args.labels, args.scores, streams[0].names) if labels is None else labels


def names_of(paths: Sequence[str]) -> list[str]:
    """Call each score file after its folder or itself, or, where two are called alike, by its path."""
    names = [Path(path).resolve().name.removesuffix(".pkl") for path in paths]
    return [name if names.count(name) == 1 else path for name, path in zip(names, paths, strict=True)]


def search_elsewhere(args: argparse.Namespace, streams: list[Stream]) -> list[float]:
    """Return the weights found on --search-scores, which must be of other samples than --scores."""
    others = [read_stream(name, path) for name, path in zip(names_of(args.search_scores), args.search_scores,
                                                            strict=True)]
    for stream, other in zip(streams, others, strict=True):
        shared = {row.tobytes() for row in stream.scores} & {row.tobytes() for row in other.scores}
        if shared:
            raise UserError(f"{other.path}: {len(shared)} of its samples are in {stream.path} too; weights are not "
                            "searched on what the accuracy is reported on: give the scores of other data, or --search")
    if others[0].scores.shape[1] != streams[0].scores.shape[1]:
        raise UserError(f"{others[0].path}: {others[0].scores.shape[1]} classes, but {streams[0].path} has "
                        f"{streams[0].scores.shape[1]}; give the same streams")
    labels = read_truth(args.search_labels, args.search_scores, others[0].names)
    truth = truth_of(others, labels)
    known = np.flatnonzero(truth != NOT_KNOWN)
    return choose(take(others, known), truth[known])


def choose(streams: list[Stream], truth: NDArray[np.int64]) -> list[float]:
    """Return the weights found on these samples; print what they and equal ones come to there."""
    weights = search_weights(streams, truth)
    for name, each in (("all alike", [1 / len(streams)] * len(streams)), ("chosen", weights)):
        fused = fuse(streams, each)
        print(f"searched on, {name:9}  weights {' '.join(f'{weight:.3g}' for weight in each)}  loss "
              f"{sample_losses(fused, truth).mean():.4f}  top-1 {100 * top_k_accuracy(fused, truth, 1):.2f}%")
    return weights


def print_table(streams: list[Stream], weights: Sequence[float], fused: NDArray[np.float32],
                truth: NDArray[np.int64]) -> None:
    """Print top-1 and top-5 of each stream, of the plain sum, and of the ensemble."""
    widest = max(len("all alike"), *(len(stream.name) for stream in streams))
    print(f"{'':{widest}}  {'weight':>6}  {'top-1':>8}  {'top-5':>8}")

    def row(name: str, weight: str, scores: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        top1, top5 = (100 * top_k_accuracy(scores, labels, k) for k in (1, 5))
        print(f"{name:{widest}}  {weight:>6}  {top1:>7.2f}%  {top5:>7.2f}%")

    classes = dict(zip(streams[0].names, truth.tolist(), strict=True))
    for stream, weight in zip(streams, weights, strict=True):
        row(stream.name, f"{weight:.3g}", stream.scores, np.array([classes[name] for name in stream.names]))
    if len(streams) > 1:
        row("all alike", "", fuse(streams, [1.0] * len(streams)), truth)
    row("ensemble", "", fused, truth)
    for k in (1, 5):
        print(f"Top{k} Acc: {100 * top_k_accuracy(fused, truth, k):.4f}%")


def write_gains(path: Path, streams: list[Stream], fused: NDArray[np.float32], truth: NDArray[np.int64]) -> None:
    """Write a row for each class: its samples, recall of the best stream and of the ensemble, and the difference."""
    best = best_of(streams, truth)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("class", "samples", f"recall_{best.name}", "recall_ensemble", "gain"))
    table.writerows((label, samples, *(f"{share:.6g}" for share in shares))
                    for label, samples, *shares in class_gains(truth, best.scores, fused))
    write_text(path, text.getvalue())
    print(f"{path}: gain of each class over {best.name}, the best stream")


if __name__ == "__main__":
    run_command(main, OPTIONS)
