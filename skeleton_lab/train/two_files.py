"""A training kept in two files, as some published code does: the weights, and beside them optimiser and schedule.

The second file is what `--checkpoint` and `--optimizer-states` read, ours or the published code's. Our own `--resume`
needs neither (`skeleton_lab.train.checkpoint`).
"""

from __future__ import annotations

from pathlib import Path

from torch import optim

from skeleton_lab.errors import UserError
from skeleton_lab.train.checkpoint import write_torch_file
from skeleton_lab.train.config import Config
from skeleton_lab.train.optim import Schedule
from skeleton_lab.train.torch_file import read_torch_file


def checkpoint_source(config: Config) -> str | None:
    """Return the file that a tree's flag `--checkpoint` names, if it has that flag and it was given."""
    return getattr(config, "checkpoint", None)


def optimizer_source(config: Config) -> str | None:
    """Return the file that a tree's flag `--optimizer-states` names, if it has that flag and it was given."""
    return getattr(config, "optimizer_states", None)


def write_checkpoint(path: Path, optimizer: optim.Optimizer, schedule: Schedule, epoch: int) -> None:
    """Write optimiser and schedule after `epoch` epochs, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    lr = schedule.learning_rate(epoch)
    states = optimizer.state_dict()
    for group in states["param_groups"]:
        group["lr"], group["initial_lr"] = lr, schedule.base_lr
    write_torch_file(path, {"epoch": epoch, "optimizer_states": states, "lr_scheduler_states": {
        "milestones": dict.fromkeys(schedule.decay_epochs, 1), "gamma": schedule.decay_rate,
        "base_lrs": [schedule.base_lr], "last_epoch": epoch, "_step_count": epoch + 1, "_last_lr": [lr]}})


def read_checkpoint(path: str, optimizer: optim.Optimizer) -> tuple[Schedule, int]:
    """Give `optimizer` its state from a checkpoint; return the schedule, and how many epochs it has behind it.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    content = read_torch_file(path)
    try:
        optimizer.load_state_dict(content["optimizer_states"])
        schedule = content["lr_scheduler_states"]
        return (Schedule(schedule["base_lrs"][0], 0, sorted(schedule["milestones"]), schedule["gamma"]),
                int(content["epoch"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: not a checkpoint of this model ({error}); give the file that stands in checkpoints/ "
                        "beside the weights") from None


def read_optimizer(path: str, optimizer: optim.Optimizer) -> None:
    """Give `optimizer` its state from a checkpoint, or from a file that holds that state alone.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    content = read_torch_file(path)
    try:
        optimizer.load_state_dict(content.get("optimizer_states", content))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not the state of this model's optimiser ({error}); give a file of checkpoints/, and "
                        "the --optimizer it was made with") from None
