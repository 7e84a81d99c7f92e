"""The settings that every model's `main.py` has. Each is declared once: its line in `Config` is all there is to say.

A line gives the type that the code sees, how a word or a YAML value is read (which decides the range), the default and
the help; `free` if it may change when a run is resumed, `recipe=False` if reports do not compare runs by it, and what
else a `Flag` may say. Keys are upstream's (CTR-GCN 1.1 and MS-G3D 1.1 of the papers' published code). The engine's own:
observe, val_share, val_feeder_args, freeze, runtime, schedule, label_smoothing, class_weights, early_stop, amp_dtype,
deterministic, memory_friendly, cuda_graph, compile, descriptors, fusion, sync_bn, resume, overwrite, accept_changes.

No import here is slow, so that the command line is read before anything else is loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from skeleton_lab.train.flags import (
    RUNTIMES,
    TORCH,
    Flag,
    boolean,
    device_index,
    fraction,
    natural,
    positive,
    real,
    share,
    text,
)


def setting(group: str, *declared: Any, **options: Any) -> Any:
    """Return the dataclass field of a setting of this group in `--help`; what else is given goes to its `Flag`."""
    flag = Flag("", *declared, **options)
    return field(default_factory=lambda: copy.deepcopy(flag.default), metadata={"flag": flag, "group": group})


_run = partial(setting, "the run")
_data = partial(setting, "data")
_model = partial(setting, "model")
_optimisation = partial(setting, "optimisation")
_output = partial(setting, "evaluation, and what is written")
_device = partial(setting, "device, precision, memory")


@dataclass
class Config:
    """The settings of a run, resolved; those that a tree adds (`TreeSpec.flags`) are attributes besides."""

    config: str | None = _run(text, None, "YAML file with any of these settings", metavar="FILE", free=True,
                              recipe=False)
    work_dir: str = _run(text, "./work_dir/temp", "output folder; made if absent", metavar="DIR", free=True,
                         recipe=False)
    phase: str = _run(text, "train", "what to do", choices=("train", "test", "model_size"), free=True, recipe=False)
    resume: bool = _run(boolean, False, "continue the run in the work directory", switch=True, transient=True)
    overwrite: bool = _run(boolean, False, "delete the run in the work directory first", switch=True, transient=True)
    accept_changes: list[str] = _run(text, [], "with --resume: go on although data or code are others than they were",
                                     many=True, choices=("data", "code"), transient=True)
    seed: int = _run(natural, 1, "seed of every random draw")
    debug: bool = _run(boolean, False, "short run: the feeders' debug mode, log in a folder of its own", switch=True)

    feeder: str | None = _data(text, None, "dotted path of the data set's class", metavar="PATH")
    train_feeder_args: dict[str, Any] = _data(dict, {}, "options of the training feeder", mapping=True)
    test_feeder_args: dict[str, Any] = _data(dict, {}, "options of the test feeder", mapping=True)
    val_share: float = _data(fraction, 0.0, "share of the training clips to hold out, of each class, drawn with the "
                                            "seed: the best epoch is chosen on them, not on the test clips")
    val_feeder_args: dict[str, Any] = _data(dict, {}, "validation clips of their own instead: options that differ from "
                                                      "the test feeder's (split=val reads x_val and y_val)",
                                            mapping=True)
    observe: float | list[float] | None = _data(
        share, None, "use only the first part of each clip: a share of its frames, for training and tests; random "
                     "(0.1-1.0) or another range: drawn for each training clip, tests see all (default: as the "
                     "feeders' options say)")
    descriptors: str | None = _data(text, None, "HDF5 file with a vector of each sample, beside the skeletons; needs "
                                                "--fusion", metavar="FILE")
    num_worker: int = _data(natural, None, "loader processes; 0: load in the main process (default: one a core, at "
                                           "most 4)", free=True)

    model: str | None = _model(text, None, "dotted path of the model's class", metavar="PATH")
    model_args: dict[str, Any] = _model(dict, {}, "options of the model", mapping=True)
    weights: str | None = _model(text, None, "weights to start from or to test", metavar="FILE", free=True)
    ignore_weights: list[str] = _model(text, [], "weights to leave out while loading, by name", many=True,
                                       metavar="WORD")
    freeze: list[str] = _model(text, [], "weights, or parts of the model, to leave as they are: names as in the "
                                         "checkpoint, * stands for anything", many=True, metavar="PATTERN")
    fusion: str | None = _model(text, None, "how the model takes the vectors of --descriptors",
                                choices=("late", "concat", "gate"))

    optimizer: str = _optimisation(text, "SGD", "optimiser", choices=("SGD", "Adam", "AdamW"))
    base_lr: float = _optimisation(real, 0.01, "learning rate before warm-up and decay")
    num_epoch: int = _optimisation(natural, 80, "epoch to stop before, from 0", free=True)
    start_epoch: int = _optimisation(natural, 0, "first epoch, from 0", free=True)
    schedule: str = _optimisation(text, "step", "how the rate falls: at each --step, or along a cosine to --min-lr "
                                                "with every batch", choices=("step", "cosine"))
    min_lr: float = _optimisation(real, 0.0, "rate at which a cosine ends")
    step: list[int] = _optimisation(natural, [20, 40, 60], "epochs (from 0) from which the rate decays once more",
                                    many=True)
    lr_decay_rate: float = _optimisation(real, 0.1, "factor of each decay")
    warm_up_epoch: int = _optimisation(natural, 0, "epochs of linear warm-up")
    warmup_lr: float | None = _optimisation(real, None, "rate at which warm-up begins, to rise with every batch "
                                                        "(default: a step up with every epoch)")
    warmup_prefix: bool = _optimisation(boolean, False, "a cosine begins when warm-up ends, not with the training",
                                        switch=True)
    weight_decay: float = _optimisation(real, 0.0005, "weight decay of every parameter")
    nesterov: bool = _optimisation(boolean, False, "Nesterov momentum (SGD only)")
    grad_max: float | None = _optimisation(real, None, "shorten the gradient of all weights to this length where it is "
                                                       "longer (default: leave it)")
    label_smoothing: float = _optimisation(fraction, 0.0, "share of each label that is spread over all classes in the "
                                                          "training loss")
    class_weights: str | None = _optimisation(text, None, "weights of the classes in the training loss: balanced, or a "
                                                          "text file of one number a class", metavar="balanced|FILE")
    batch_size: int = _optimisation(positive, 256, "clips per optimiser step, of all processes together")
    forward_batch_size: int = _optimisation(positive, None, "clips per forward pass of a process, a divisor of the "
                                                            "batch size; without it all in one")

    test_batch_size: int = _output(positive, 256, "clips per test batch", free=True)
    eval_interval: int = _output(positive, 1, "epochs between two evaluations; the last epoch is always evaluated")
    eval_start: int = _output(natural, 1, "first epoch (from 1) that is evaluated")
    early_stop: int = _output(natural, 0, "end after this many epochs without a better evaluation; 0: never", free=True)
    show_topk: list[int] = _output(positive, [1, 5], "which top-k accuracies are logged", many=True, free=True,
                                   recipe=False)
    save_score: bool = _output(boolean, False, "write the score pickle at each evaluation", free=True, recipe=False)
    save_interval: int = _output(positive, 1, "epochs between two weight files; the last epoch is always saved",
                                 free=True, recipe=False)
    save_epoch: int = _output(natural, 30, "write weight files only after this many epochs", free=True, recipe=False)
    model_saved_name: str = _output(text, "", "prefix of the weight files instead of the tree's own", metavar="NAME",
                                    recipe=False)
    log_interval: int = _output(positive, 100, "batches between two lines of log.txt within an epoch", free=True,
                                recipe=False)
    print_log: bool = _output(boolean, True, "write log.txt too, not only the terminal", free=True, recipe=False)

    device: list[int | str] = _device(device_index, [0], "GPU index, cuda, cpu or auto; under torchrun an index "
                                                         "for each process",
                                      many=True, metavar="GPU", free=True)
    runtime: str = _device(text, TORCH, "what computes a test on the CPU: PyTorch, or another runtime from an export "
                                        "beside the weights; auto: the fastest here (--phase test only)",
                           choices=RUNTIMES, free=True, recipe=False)
    half: bool = _device(boolean, False, "mixed precision (autocast)", switch=True)
    amp_dtype: str = _device(text, "auto", "number format of mixed precision; auto: bf16 where the device has it, "
                                           "else fp16", choices=("auto", "bf16", "fp16"))
    memory_friendly: bool = _device(boolean, False, "recompute activations: less memory, same numbers, slower",
                                    switch=True, free=True)
    cuda_graph: bool = _device(boolean, True, "on a GPU, record a training pass once and replay it: same numbers, less "
                                              "waiting for the processor; models that cannot be recorded run as they "
                                              "are", free=True)
    compile: bool = _device(boolean, False, "run the model through torch.compile: minutes to start; where it cannot be "
                                            "compiled, it runs as it is", switch=True, free=True)
    deterministic: bool = _device(boolean, True, "ask cuDNN for deterministic kernels")
    sync_bn: bool = _device(boolean, False, "several processes: BatchNorm over the clips of all, not of each by itself",
                            switch=True)


def _declared() -> Iterator[tuple[str, Flag]]:
    for one in fields(Config):
        yield one.metadata["group"], replace(one.metadata["flag"], key=one.name)


COMMON_FLAGS = tuple(flag for _, flag in _declared())
FLAG_GROUPS = {title: tuple(flag for group, flag in _declared() if group == title)
               for title in dict.fromkeys(group for group, _ in _declared())}
NOT_COMPARED = frozenset(flag.key for flag in COMMON_FLAGS if not flag.recipe)  # where a run was, what is kept of it
