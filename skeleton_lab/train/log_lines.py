"""The words of a training's log. What tools parse of it stands in `skeleton_lab.train.spec.LogTexts`."""

from __future__ import annotations

import pprint
from collections.abc import Iterator, Mapping
from typing import Any

from skeleton_lab.train.loop import ChunkFigures, Means
from skeleton_lab.train.setup import Setup


def log_settings(setup: Setup, resumed: bool) -> None:
    """Say what the training goes by."""
    config, log = setup.config, setup.work_dir.log
    if config.warm_up_epoch:
        log(f"using warm up, epoch: {config.warm_up_epoch}")
    if not resumed:
        log(f"Parameters:\n{pprint.pformat(vars(config))}\n", to_terminal=False)
        print(f"Settings: {setup.work_dir.path / 'config.yaml'}")
    log(setup.spec.texts.parameters.format(count=setup.parameters))


def batch_line(number: int, batches: int, figures: ChunkFigures, lr: float) -> str:
    """Return the line of the epoch's batch `number`, from 1."""
    losses = figures[0]
    return f"\tBatch {number}/{batches}: loss {sum(losses) / len(losses):.4f}, lr {lr:.6f}"


def epoch_lines(setup: Setup, means: Means, chunks: int, figures: Mapping[str, float]) -> Iterator[str]:
    """Return the lines of a whole epoch, of `chunks` forward passes a batch; `figures` are `train_one_epoch`'s."""
    yield setup.spec.texts.epoch_means.format(
        loss=means.mean_loss, accuracy=100 * means.mean_accuracy, batch_size=setup.config.batch_size,
        chunk_loss=means.mean_loss / chunks, batch_loss=means.mean_loss)
    if means.auxiliary:
        yield f"\tMean auxiliary loss: {means.mean_auxiliary:.4f}."
    seconds = figures["data_s"] + figures["network_s"]
    share = round(100 * figures["data_s"] / seconds) if seconds else 0
    yield f"\tTime consumption: [Data]{share:02d}%, [Network]{100 - share:02d}%"
    if figures["clips"]:
        yield f"\tSpeed: {figures['clips'] / seconds:.1f} clips/s"


def published_closing_lines(setup: Setup, best: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[str]:
    """Return the closing lines of the published code, which tools look for in log.txt."""
    if last.get("test_top1") is not None:
        yield f"Last epoch: {last['epoch']}, accuracy: {last['test_top1']:.6f}"
    yield f"Best accuracy: {best['accuracy']:.6f}"
    yield f"Epoch number: {best['epoch']}"
    yield f"Model name: {setup.work_dir.path}"
    yield f"Model total number of params: {setup.parameters}"
    for title, key in (("Weight decay", "weight_decay"), ("Base LR", "base_lr"), ("Batch Size", "batch_size"),
                       ("Forward Batch Size", "forward_batch_size"), ("Test Batch Size", "test_batch_size"),
                       ("seed", "seed")):
        yield f"{title}: {getattr(setup.config, key)}"


def closing_lines(setup: Setup, best: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[str]:
    """Return the closing summary for people; `best` is that of `Training`, `last` the last row of the history."""
    path = setup.work_dir.path
    yield f"Model: {setup.config.model}, {setup.parameters:,} parameters trained"
    if last.get("test_top1") is not None:
        yield f"Last epoch ({last['epoch']}): top-1 {100 * last['test_top1']:.2f} % of the test clips"
    if best["epoch"]:
        yield f"Best epoch ({best['epoch']}): top-1 {100 * best['accuracy']:.2f} % of the test clips"
    if "val_accuracy" in best:
        yield (f"(The best epoch is picked on the validation clips, with top-1 {100 * best['val_accuracy']:.2f} %; the "
               "test clips had no part in that.)")
    else:
        yield ("(The best epoch is picked on the test split, as the published results do; report the last epoch where "
               "that matters, or choose on validation clips with --val-share.)")
    yield (f"Best weights, tables and pictures: {path}; curves: tensorboard --logdir "
           f"{path / setup.spec.log_directory}")
