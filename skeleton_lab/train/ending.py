"""How a training ends: when it is whole, and what is said of one that is, or that was cut off."""

from __future__ import annotations

from skeleton_lab.train.checkpoint import load_state
from skeleton_lab.train.config import Config
from skeleton_lab.train.finite import Finite
from skeleton_lab.train.setup import Setup
from skeleton_lab.train.state import has_other_settings, unusable
from skeleton_lab.train.workdir import STATE, read_record


def is_complete(config: Config, epochs: int, best_epoch: int) -> bool:
    """Whether `epochs` epochs are all, or enough for `--early-stop` with `best_epoch` (from 1; 0: none yet)."""
    return epochs >= config.num_epoch or bool(
        config.early_stop and best_epoch and epochs - best_epoch >= config.early_stop)


def say_if_finished(setup: Setup) -> bool:
    """Whether the run to resume was finished already, with these settings; if so, say it and leave all as it is."""
    path = setup.work_dir.path
    recorded = read_record(path).get("train")
    if not isinstance(recorded, dict) or not recorded.get("finished"):
        return False
    finite = Finite.of(setup.model)
    state = load_state(setup.work_dir, lambda state: unusable(state, finite))
    if state is None or not is_complete(setup.config, state["progress"]["epoch"], state["best"]["epoch"]):
        return False
    if has_other_settings(state, setup):  # which resuming refuses by name
        return False
    print(f"{path}: finished already, after {state['progress']['epoch']} epochs; nothing to do. A larger --num-epoch "
          "goes on from here.")
    return True


def what_is_left(setup: Setup) -> str:
    """Return what a training that was interrupted at once says of its last state."""
    path = setup.work_dir.path / STATE
    if path.exists():
        return f"Stopped at once; the last saved state is {path}: --resume goes on from there."
    return "Stopped at once, before the first state was saved: there is nothing to resume, start again."
