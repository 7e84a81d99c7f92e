"""The state of a training as it is saved and restored: all that the rest of the run depends on.

`skeleton_lab.train.checkpoint` writes and reads the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from skeleton_lab.errors import UserError
from skeleton_lab.nn.model import load_training_buffers, training_buffers_of
from skeleton_lab.train.batches import generator_states, restore_generators
from skeleton_lab.train.fingerprint import Basis
from skeleton_lab.train.finite import Finite
from skeleton_lab.train.loop import TrainingPasses
from skeleton_lab.train.settings import COMMON_FLAGS
from skeleton_lab.train.setup import Setup
from skeleton_lab.train.workdir import STATE

_KINDS = {"model": dict, "optimizer": dict, "scaler": dict, "generators": dict, "progress": dict, "best": dict,
          "history": list, "settings": dict}


def captured(setup: Setup, passes: TrainingPasses, optimizer: torch.optim.Optimizer,
             progress: dict[str, Any]) -> dict[str, Any]:
    """Return the state of this moment, on process 0; the others contribute their random generators.

    `progress` goes in as it is.
    """
    device = setup.device
    draws = {"generators": generator_states(),
             "cuda_generators": [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []}
    draws, *others = setup.world.gather(draws)
    return {"model": setup.model.state_dict(), "training_buffers": training_buffers_of(setup.model),
            "optimizer": optimizer.state_dict(), "scaler": passes.scaler.state_dict(),
            "number_format": _format_of(setup), **draws, "other_processes": others, **progress,
            "settings": _settings(setup)}


def restore(state: dict[str, Any], setup: Setup, basis: Basis, passes: TrainingPasses,
            optimizer: torch.optim.Optimizer) -> None:
    """Set model, optimiser, scaler and generators to what a saved state says.

    Raises:
        UserError: the run was made with other settings, data or code.
    """
    _refuse_other_settings(state, setup, basis)
    basis.compare(state)
    _refuse_another_format(state, setup)
    try:
        setup.model.load_state_dict(state["model"])
        load_training_buffers(setup.model, state.get("training_buffers", {}))
        optimizer.load_state_dict(state["optimizer"])
        passes.scaler.load_state_dict(state["scaler"])
        _restore_draws([state, *state.get("other_processes", ())], setup)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UserError(f"{setup.work_dir.path / STATE}: does not fit this run ({type(error).__name__}: "
                        f"{' '.join(str(error).split())[:200]}); move it away, so that the state before it is used, or "
                        "start again with --overwrite") from None


def damage(state: dict[str, Any]) -> str:
    """Return "", or what is missing from a training state, or not of its type, though its file is whole."""
    for key, kind in _KINDS.items():
        if not isinstance(state.get(key), kind):
            return f"its '{key}' is missing or damaged"
    progress = state["progress"]
    means = progress.get("means")
    counts = [progress.get("epoch"), progress.get("step"), means.get("batches") if isinstance(means, dict) else None]
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        return "its 'progress' is damaged"
    optional = ("fingerprint", "training_buffers")
    return next((f"its '{key}' is damaged" for key in optional if not isinstance(state.get(key, {}), dict)), "")


def unusable(state: dict[str, Any], finite: Finite) -> str:
    """Return "", or why a training cannot go on from a state that was read from a file."""
    return damage(state) or finite.refuse_state(state)


def _settings(setup: Setup) -> dict[str, Any]:
    """Return the settings that may not change between a run and its resumption."""
    return {flag.key: getattr(setup.config, flag.key) for flag in (*COMMON_FLAGS, *setup.spec.flags)
            if not (flag.free or flag.transient)}


def _changed(state: dict[str, Any], setup: Setup,
             compared: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ in what `compared` leaves of them: key -> (before, now)."""
    defaults = {flag.key: flag.default for flag in COMMON_FLAGS}  # of settings younger than the state
    now = _settings(setup)
    before = compared({key: state["settings"].get(key, defaults.get(key)) for key in now})
    return {key: (before[key], value) for key, value in compared(now).items() if before[key] != value}


def has_other_settings(state: dict[str, Any], setup: Setup) -> bool:
    """Whether a setting differs that `--resume` refuses to change; where the data lay is not looked at."""
    paths = state.get("fingerprint", {}).get("paths", {})

    def without_paths(settings: dict[str, Any]) -> dict[str, Any]:
        stripped = {key: {name: value for name, value in settings[key].items() if name not in names}
                    for key, names in paths.items() if isinstance(settings.get(key), dict)}
        return {**settings, **stripped, "descriptors": bool(settings.get("descriptors"))}

    return bool(_changed(state, setup, without_paths))


def _refuse_other_settings(state: dict[str, Any], setup: Setup, basis: Basis) -> None:
    before = state.get("fingerprint")
    changed = _changed(state, setup, lambda some: basis.without_paths(some, before) if before else some)
    if changed:
        listed = "; ".join(f"{key}: {old} before, {new} now" for key, (old, new) in changed.items())
        raise UserError(f"{setup.work_dir.path}: cannot resume with other settings ({listed}); leave them as they "
                        "were, or start afresh with --overwrite or another --work-dir")


def _format_of(setup: Setup) -> str:
    """Return the number format of forward passes, such as "bfloat16"."""
    return str(setup.precision.dtype or torch.float32).removeprefix("torch.")


def _refuse_another_format(state: dict[str, Any], setup: Setup) -> None:
    """Refuse a state whose number format, which `--amp-dtype auto` chooses by the GPU, is not this run's."""
    now = _format_of(setup)
    older = "float16" if state["scaler"] else now if now != "float16" else "another format"  # a state that names none
    before = state.get("number_format", older)
    if before != now:
        raise UserError(f"{setup.work_dir.path}: cannot resume in another number format ({before} before; --amp-dtype "
                        f"{setup.config.amp_dtype} means {now} here); resume on a device like the first, or start "
                        "another --work-dir from its weights with --weights")


def _restore_draws(states: list[dict[str, Any]], setup: Setup) -> None:
    """Set the random generators of this process from those saved, one of each process."""
    world = setup.world
    if len(states) != world.size:
        setup.work_dir.log(f"The run so far had {len(states)} process(es), it goes on with {world.size}: the same "
                           "batches and rates, but other random draws.")
    if world.rank < len(states):
        own = states[world.rank]
        restore_generators(own["generators"])
        if setup.device.type == "cuda" and own["cuda_generators"]:
            torch.cuda.set_rng_state(own["cuda_generators"][0], setup.device)
