"""How one model tree differs from another, as data: all that the engine is told of a tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skeleton_lab.train.flags import Flag


@dataclass(frozen=True)
class LogTexts:
    """The lines of `log.txt` whose wording differs between the trees (tools parse them).

    Each is a format string over the fields its comment lists.
    """

    parameters: str = "# Parameters: {count}"  # count of trainable ones
    epoch_start: str = "Training epoch: {epoch}"  # epoch (1-based), lr
    epoch_means: str = "\tMean training loss: {loss:.4f}.  Mean training acc: {accuracy:.2f}%."
    # loss, accuracy (%), batch_size, chunk_loss (loss divided by the chunks of a batch), batch_loss
    top_k: str = "\tTop{k}: {percent:.2f}%"  # k, percent


@dataclass(frozen=True)
class TreeSpec:
    """What a tree's `main.py` tells the engine.

    Attributes:
        root: the tree's folder.
        defaults: settings whose default differs from the engine's.
        flags: settings that only this tree has.
        weights_file: where an epoch's weights go in the work directory; fields `epoch` (1-based), `step`.
        checkpoint_file: where optimiser and schedule go besides, for trees that resume from two
            files, with a flag `checkpoint` (optimiser, schedule and epoch from such a file) and perhaps one
            `optimizer_states` (optimiser only); fields `epoch`, `step`, `forward_batch_size`. None: not written.
        log_directory: the TensorBoard folder in the work directory.
        debug_log: the folder in it that a debug run writes to instead of `train` and `val`.
        first_epoch_tag: what the TensorBoard scalar `epoch` shows in the first epoch.
        right_file, wrong_file: the sample lists of a test; field `weights` is the tested file without
            its suffix, a relative path is taken from the work directory.
        retest_best: end a training with a test of the best epoch's weights.
        ignore_exact: `ignore_weights` holds whole key names, not parts of them.
        texts: the wording of the log.
        models: published names of models, as configs and commands have them, and what these are called here.
        adjust: called with the resolved config and the keys that were set explicitly; may change the
            config (presets, aliases) or raise a UserError.
    """

    root: Path
    defaults: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    weights_file: str = "runs-{epoch}-{step}.pt"
    checkpoint_file: str | None = None
    log_directory: str = "runs"
    debug_log: str = "test"
    first_epoch_tag: int = 0
    right_file: str = "{weights}_right.txt"
    wrong_file: str = "{weights}_wrong.txt"
    retest_best: bool = True
    ignore_exact: bool = False
    texts: LogTexts = field(default_factory=LogTexts)
    models: Mapping[str, str] = field(default_factory=dict)
    adjust: Callable[[Any, frozenset[str]], None] | None = None
