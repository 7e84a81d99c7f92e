"""Evaluating a model on the test data, and what is written of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.class_names import filled
from skeleton_lab.errors import UserError
from skeleton_lab.metrics import class_accuracy, confusion, top_k_accuracy
from skeleton_lab.train import result_files
from skeleton_lab.train.config import save_config
from skeleton_lab.train.diverged import KEPT
from skeleton_lab.train.evaluation import Evaluation, evaluate
from skeleton_lab.train.loop import Compute, TrainingDiverged
from skeleton_lab.train.record import Record, write_run_report
from skeleton_lab.train.setup import Setup, Split, chunk_size, open_part
from skeleton_lab.train.workdir import PREDICTIONS

_MOST_TABLED_CLASSES = 2_000  # the matrix has their square


@dataclass(frozen=True)
class Outputs:
    """Which files an evaluation leaves besides the log.

    Attributes:
        epoch: 1-based epoch in the files' names.
        scores: write the score pickle.
        lists_of: write the lists of right and wrong samples, named after this weight file.
        class_table: write the CSV of recalls and confusion counts.
        picture: draw the confusion matrix.
        predictions: write the table of what was predicted for each clip.
    """

    epoch: int
    scores: bool = False
    lists_of: Path | None = None
    class_table: bool = True
    picture: bool = False
    predictions: bool = False


def run_test(setup: Setup) -> int:
    """The phase `test`: evaluate the given weights as epoch 1.

    Raises:
        UserError: no weights given.
    """
    config = setup.config
    if not config.weights:
        raise UserError("--phase test needs --weights: the file to test (a training leaves best.pt in its work "
                        "directory)")
    part = open_part(setup, training=False)
    if setup.world.is_main:
        save_config(config, setup.spec, setup.work_dir.path / "config_test.yaml")  # not over a training's config.yaml
    setup.work_dir.log(f"Model:   {config.model}.")
    setup.work_dir.log(f"Weights: {config.weights}.")
    record = Record(setup, "test", part.words)
    outputs = Outputs(1, scores=config.save_score, lists_of=Path(config.weights).resolve(), picture=True,
                      predictions=True)
    setup = replace(setup, model=setup.services.network(setup))
    evaluation = evaluate_part(setup, part, compute_for(setup), outputs)
    setup.work_dir.log(f"Tested {len(evaluation.labels)} clips in {evaluation.seconds:.1f} s "
                       f"({len(evaluation.labels) / evaluation.seconds:.0f} clips/s).")
    record.tested(config.weights, len(evaluation.labels), evaluation.seconds)
    record.save(finished=True)
    write_run_report(setup, part.feeder)
    setup.work_dir.log("Done.")
    return 0


def compute_for(setup: Setup, stop: Any = False) -> Compute:
    """Return how this run computes its forward passes."""
    size = chunk_size(setup.config, setup.world)
    return Compute(setup.device, setup.precision, size, stop, setup.world, setup.frozen,
                   setup.config.grad_max)


def evaluate_part(setup: Setup, part: Split, compute: Compute, outputs: Outputs) -> Evaluation:
    """Evaluate the model on `part`, log loss and accuracies, and write `outputs`."""
    work_dir, texts = setup.work_dir, setup.spec.texts
    work_dir.log(f"Eval epoch: {outputs.epoch}")
    evaluation = evaluate(setup.model, part.loader, compute, progress_of(setup, total=len(part.feeder), desc="test"))
    if not evaluation.complete:
        return evaluation
    _require_finite(setup, part, evaluation)
    if evaluation.num_known < len(evaluation.labels):
        work_dir.log(f"\tThe class of {evaluation.num_known} of {len(evaluation.labels)} clips is known: loss and "
                     "accuracy are of these.")
    if evaluation.num_known:
        work_dir.log(f"\tMean test loss of {evaluation.batches} batches: {evaluation.loss:.6f}.")
    for k in setup.config.show_topk if evaluation.num_known else ():
        percent = 100 * top_k_accuracy(evaluation.scores, evaluation.labels, k)
        work_dir.log(texts.top_k.format(k=k, percent=percent))
    if setup.world.is_main:
        _write(setup, part, evaluation, outputs)
    return evaluation


def validate_part(setup: Setup, part: Split, compute: Compute) -> Evaluation:
    """Evaluate the model on the validation clips, and log loss and accuracy."""
    progress = progress_of(setup, total=len(part.names), desc="validation")
    evaluation = evaluate(setup.model, part.loader, compute, progress)
    if evaluation.complete:
        _require_finite(setup, part, evaluation)
        top1 = 100 * top_k_accuracy(evaluation.scores, evaluation.labels, 1)
        setup.work_dir.log(f"\tValidation: loss {evaluation.loss:.6f}, top-1 {top1:.2f}% of {evaluation.num_known} "
                           "clips.")
    return evaluation


def _require_finite(setup: Setup, part: Split, evaluation: Evaluation) -> None:
    """Raise TrainingDiverged where scores are no numbers, before anything is written of them."""
    if np.isfinite(evaluation.loss) or (not evaluation.num_known and np.isfinite(evaluation.scores).all()):
        return
    bad = np.flatnonzero(~np.isfinite(evaluation.scores).all(axis=1))
    which = f", scores of {len(bad)} of {len(evaluation.scores)} clips are no numbers" if len(bad) else ""
    first = f" ({part.names[bad[0] % len(part.names)]} is the first)" if len(bad) else ""
    advice = (f"check {setup.config.weights}" if setup.config.phase == "test" else
              KEPT)
    raise TrainingDiverged(f"the test loss became {evaluation.loss}{which}{first}; {advice}")


def progress_of(setup: Setup, **options: Any) -> dict[str, Any]:
    """Return the options of a progress bar: on terminals only, and of one process only."""
    return {"disable": None if setup.world.is_main else True, **options}


def _write(setup: Setup, part: Split, evaluation: Evaluation, outputs: Outputs) -> None:
    folder, scores, labels = setup.work_dir.path, evaluation.scores, evaluation.labels
    stem = f"epoch{outputs.epoch}_test"
    tabled = scores.shape[1] <= _MOST_TABLED_CLASSES
    if not tabled and (outputs.class_table or outputs.picture):
        setup.work_dir.log("The table of classes and the picture of the confusion matrix are left out: "
                           f"{scores.shape[1]:,} classes are more than the {_MOST_TABLED_CLASSES:,} that have room.")
    counts = confusion(scores, labels) if tabled else np.zeros((0, 0), np.int64)
    if tabled and outputs.class_table and evaluation.num_known:
        result_files.write_class_table(folder / f"{stem}_each_class_acc.csv", class_accuracy(counts), counts)
    if outputs.scores:
        result_files.write_scores(folder / f"{stem}_score.pkl", part.names, scores)
    if outputs.lists_of is not None:
        stem_of_weights = outputs.lists_of.with_suffix("") if outputs.lists_of.suffix == ".pt" else outputs.lists_of
        right, wrong = (folder / pattern.format(weights=stem_of_weights)
                        for pattern in (setup.spec.right_file, setup.spec.wrong_file))
        result_files.write_sample_lists(right, wrong, scores.argmax(axis=1), labels)
    if outputs.predictions:
        result_files.write_predictions(folder / PREDICTIONS, part.names, scores, labels)
    if tabled and outputs.picture and evaluation.num_known:
        top1 = 100 * top_k_accuracy(scores, labels, 1)
        names = None if part.words.class_names is None else filled(part.words.class_names, len(counts))
        title = f"{evaluation.num_known} clips, top-1 {top1:.2f} %"
        result_files.draw_confusion(folder / "confusion_matrix.png", counts, title, names)
