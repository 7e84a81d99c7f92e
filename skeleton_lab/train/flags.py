"""The settings that every model's `main.py` has, and how each is read from a word or a YAML scalar.

Keys are upstream's (CTR-GCN 1.1 and MS-G3D 1.1 of the papers' published code). The engine's own: observe, amp_dtype,
deterministic, memory_friendly, cuda_graph, compile, descriptors, fusion, sync_bn, resume, overwrite.
"""

from __future__ import annotations

import os
from typing import Any

from skeleton_lab.nn.descriptor_fusion import KINDS
from skeleton_lab.train.distributed import World
from skeleton_lab.train.spec import Flag

_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


def boolean(value: Any) -> bool:
    """Read `yes true t y 1` / `no false f n 0` (any case) or a YAML boolean."""
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"expected true or false, not '{value}'")
    return word in _TRUE


def whole(value: Any) -> int:
    """Read an integer; refuse booleans and fractions."""
    if isinstance(value, bool | float):
        raise ValueError(f"expected a whole number, not '{value}'")
    return int(value)


def natural(value: Any) -> int:
    """Read an integer of at least 0."""
    number = whole(value)
    if number < 0:
        raise ValueError(f"expected 0 or more, not '{value}'")
    return number


def positive(value: Any) -> int:
    """Read an integer of at least 1."""
    number = whole(value)
    if number < 1:
        raise ValueError(f"expected 1 or more, not '{value}'")
    return number


def real(value: Any) -> float:
    """Read a finite number of at least 0."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, not '{value}'")
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"expected a number of 0 or more, not '{value}'")
    return number


def text(value: Any) -> str:
    """Read a word or a path."""
    if isinstance(value, list | dict):
        raise ValueError(f"expected a word, not '{value}'")
    return str(value)


def device_index(value: Any) -> int | str:
    """Read a GPU index, `cuda:<index>` or `cpu`."""
    word = str(value).lower().removeprefix("cuda:")
    if word in ("cpu", "cuda"):
        return "cpu" if word == "cpu" else 0
    if not word.isdigit():
        raise ValueError(f"expected GPU indices or cpu, not '{value}'")
    return int(word)


def share(value: Any) -> float | list[float]:
    """Read a share in (0, 1], or a range of shares: `0.1-1.0`, or `random` for just that."""
    words = value if isinstance(value, list) else str("0.1-1" if value == "random" else value).split("-")
    try:
        shares = [float(word) for word in words]
    except (TypeError, ValueError):
        shares = []
    if len(shares) not in (1, 2) or not all(0 < number <= 1 for number in shares) or shares != sorted(shares):
        raise ValueError(f"expected a share in (0, 1], a range such as 0.1-1.0, or random, not '{value}'")
    return shares if shares[0] < shares[-1] else shares[0]


def default_workers() -> int:
    """Loader processes by default: one for each core this process may use, at most four.

    Of several training processes each gets its share of the cores, and at least one loader process.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(usable // World.from_environment().local_size, 4), 1)


FLAG_GROUPS: dict[str, tuple[Flag, ...]] = {
    "the run": (
        Flag("config", text, None, "YAML file with any of these settings", metavar="FILE"),
        Flag("work_dir", text, "./work_dir/temp", "output folder; made if absent", metavar="DIR"),
        Flag("phase", text, "train", "what to do", choices=("train", "test", "model_size")),
        Flag("resume", boolean, False, "continue the run in the work directory", switch=True, transient=True),
        Flag("overwrite", boolean, False, "delete the run in the work directory first", switch=True, transient=True),
        Flag("seed", natural, 1, "seed of every random draw"),
        Flag("debug", boolean, False, "short run: the feeders' debug mode, log in a folder of its own", switch=True),
    ),
    "data": (
        Flag("feeder", text, None, "dotted path of the data set's class", metavar="PATH"),
        Flag("train_feeder_args", dict, {}, "options of the training feeder", mapping=True),
        Flag("test_feeder_args", dict, {}, "options of the test feeder", mapping=True),
        Flag("observe", share, None, "use only the first part of each clip: a share of its frames, for training and "
                                     "tests; random (0.1-1.0) or another range: drawn for each training clip, tests "
                                     "see all (default: as the feeders' options say)"),
        Flag("descriptors", text, None, "HDF5 file with a vector of each sample, beside the skeletons; needs --fusion",
             metavar="FILE"),
        Flag("num_worker", natural, None, "loader processes; 0: load in the main process (default: one a core, at "
                                          "most 4)"),
    ),
    "model": (
        Flag("model", text, None, "dotted path of the model's class", metavar="PATH"),
        Flag("model_args", dict, {}, "options of the model", mapping=True),
        Flag("weights", text, None, "weights to start from or to test", metavar="FILE"),
        Flag("ignore_weights", text, [], "weights to leave out while loading, by name", many=True,
             metavar="WORD"),
        Flag("fusion", text, None, "how the model takes the vectors of --descriptors", choices=KINDS),
    ),
    "optimisation": (
        Flag("optimizer", text, "SGD", "optimiser", choices=("SGD", "Adam")),
        Flag("base_lr", real, 0.01, "learning rate before warm-up and decay"),
        Flag("num_epoch", natural, 80, "epoch to stop before, from 0"),
        Flag("start_epoch", natural, 0, "first epoch, from 0"),
        Flag("step", natural, [20, 40, 60], "epochs (from 0) from which the rate decays once more", many=True),
        Flag("lr_decay_rate", real, 0.1, "factor of each decay"),
        Flag("warm_up_epoch", natural, 0, "epochs of linear warm-up"),
        Flag("weight_decay", real, 0.0005, "weight decay of every parameter"),
        Flag("nesterov", boolean, False, "Nesterov momentum (SGD only)"),
        Flag("batch_size", positive, 256, "clips per optimiser step, of all processes together"),
        Flag("forward_batch_size", positive, None, "clips per forward pass of a process, a divisor of the "
                                                   "batch size; without it all in one"),
    ),
    "evaluation, and what is written": (
        Flag("test_batch_size", positive, 256, "clips per test batch"),
        Flag("eval_interval", positive, 1, "epochs between two evaluations; the last epoch is always evaluated"),
        Flag("eval_start", natural, 1, "first epoch (from 1) that is evaluated"),
        Flag("show_topk", positive, [1, 5], "which top-k accuracies are logged", many=True),
        Flag("save_score", boolean, False, "write the score pickle at each evaluation"),
        Flag("save_interval", positive, 1, "epochs between two weight files; the last epoch is always saved"),
        Flag("save_epoch", natural, 30, "write weight files only after this many epochs"),
        Flag("model_saved_name", text, "", "prefix of the weight files instead of the tree's own", metavar="NAME"),
        Flag("log_interval", positive, 100, "batches between two lines of log.txt within an epoch"),
        Flag("print_log", boolean, True, "write log.txt too, not only the terminal"),
    ),
    "device, precision, memory": (
        Flag("device", device_index, [0], "GPU index, or cpu; under torchrun an index for each process", many=True,
             metavar="GPU"),
        Flag("half", boolean, False, "mixed precision (autocast)", switch=True),
        Flag("amp_dtype", text, "auto", "number format of mixed precision; auto: bf16 where the device has it, else "
                                        "fp16", choices=("auto", "bf16", "fp16")),
        Flag("memory_friendly", boolean, False, "recompute activations: less memory, same numbers, slower",
             switch=True),
        Flag("cuda_graph", boolean, True, "on a GPU, record a training pass once and replay it: same numbers, less "
                                          "waiting for the processor; models that cannot be recorded run as they are"),
        Flag("compile", boolean, False, "run the model through torch.compile: minutes to start; where it cannot be "
                                        "compiled, it runs as it is", switch=True),
        Flag("deterministic", boolean, True, "ask cuDNN for deterministic kernels"),
        Flag("sync_bn", boolean, False, "several processes: BatchNorm over the clips of all, not of each by itself",
             switch=True),
    ),
}
COMMON_FLAGS = tuple(flag for group in FLAG_GROUPS.values() for flag in group)
