"""Weights in upstream's form, and the full training state that `--resume` continues from."""

from __future__ import annotations

import io
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skeleton_lab.errors import UserError, suggest
from skeleton_lab.files import replacing, write_bytes
from skeleton_lab.nn.descriptor_fusion import skeleton_part
from skeleton_lab.train.torch_file import read_torch_file
from skeleton_lab.train.weights_file import find_weights
from skeleton_lab.train.workdir import PREVIOUS_STATE, STATE, WorkDir

_SHOWN_KEYS = 4
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod)\.)+")  # DataParallel's and torch.compile's


def unprefixed(state: Mapping[str, Any], own: Iterable[str] = ()) -> OrderedDict[str, Any]:
    """Return `state` with keys as a single-device model has them: without a leading `module.`.

    A first part that all keys have, and without which they are the model's `own`, is another wrapper's: it goes too.
    """
    state = OrderedDict((_WRAPPERS.sub("", key), value) for key, value in state.items())
    known, wrappers = set(own), {key.split(".")[0] if "." in key else None for key in state}
    if known and len(wrappers) == 1 and None not in wrappers and not known & state.keys():
        inner = unprefixed({key.partition(".")[2]: value for key, value in state.items()}, known)
        return inner if known & inner.keys() else state
    return state


def save_weights(model: nn.Module, path: Path) -> None:
    """Write an ordered mapping from key to CPU tensor, as upstream's tools read it."""
    write_torch_file(path, OrderedDict((key, value.detach().cpu())
                                       for key, value in unprefixed(model.state_dict()).items()))


def write_torch_file(path: Path, content: Any) -> None:
    """Write a torch file, atomically.

    Raises:
        UserError: the file cannot be written, because the disk is full for instance (torch's own writer would say so
            in a traceback).
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def load_weights(model: nn.Module, path: str | Path, ignore: Sequence[str], ignore_exact: bool,
                 say: Callable[[str], None]) -> None:
    """Load a weight file of ours or of upstream's into `model`.

    Keys that contain a word of `ignore` (with `ignore_exact`: that equal one) are left out. Keys the
    file lacks keep their fresh values, and `say` names them.

    Raises:
        UserError: the file is unreadable, has keys the model has not, other shapes, or NaN.
    """
    take_weights(model, read_torch_file(path), path, ignore, ignore_exact, say)


def take_weights(model: nn.Module, content: Any, path: str | Path, ignore: Sequence[str], ignore_exact: bool,
                 say: Callable[[str], None]) -> None:
    """Do as `load_weights` with the content of the file at `path`, which was read already."""
    own = model.state_dict()
    weights = unprefixed(find_weights(content, path, say), own)
    names = list(weights)
    for word in ignore:
        dropped = [key for key in names if (key == word if ignore_exact else word in key)]
        for key in dropped:
            say(f"Ignoring weights: {key}")
            weights.pop(key, None)
        if not dropped:
            what = "is the name of" if ignore_exact else "is part of the name of"
            say(f"--ignore-weights {word}: {what} no weight in {path}{suggest(word, names)}")
    weights = skeleton_part(weights, own, say)
    _refuse_other_architecture(path, weights, own)
    _refuse_not_finite(path, weights, own)
    missing = [key for key in own if key not in weights]
    if missing:
        say(f"Not in {path}, keeping fresh values: {_listed(missing, len(missing))}")
    model.load_state_dict({**own, **weights})


def _refuse_other_architecture(path: str | Path, weights: Mapping[str, torch.Tensor],
                               own: Mapping[str, torch.Tensor]) -> None:
    unexpected = [key for key in weights if key not in own]
    if unexpected:
        raise UserError(f"{path}: weights of another model: {len(unexpected)} key(s) this model has not: "
                        f"{_listed(unexpected)}; check --model and --model-args")
    shapes = [f"{key} is {tuple(value.shape)}, not {tuple(own[key].shape)}"
              for key, value in weights.items() if value.shape != own[key].shape]
    if shapes:
        raise UserError(f"{path}: weights of another size: {_listed(shapes)}; check --model-args, or leave them out "
                        "with --ignore-weights")
    if not any(key in own for key in weights):
        raise UserError(f"{path}: holds none of this model's weights; check --model")


def _refuse_not_finite(path: str | Path, weights: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> None:
    """Refuse NaN and infinity, except where the model has them from the beginning, in a mask for instance."""
    bad = [key for key in not_finite(weights) if key not in not_finite({key: own[key]})]
    if bad:
        raise UserError(f"{path}: holds NaN or infinity in {_listed(bad)}: its training had diverged, or the file is "
                        "damaged; use weights of an earlier epoch")


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """Return the names of the tensors with a number that is not finite."""
    floats = {name: tensor for name, tensor in tensors.items()
              if isinstance(tensor, torch.Tensor) and (tensor.is_floating_point() or tensor.is_complex())}
    finite = {name: tensor.isfinite().all() for name, tensor in floats.items()}  # all asked before any is waited for
    return [name for name, answer in finite.items() if not answer]


def _listed(items: Sequence[str], most: int = _SHOWN_KEYS) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def save_state(state: Mapping[str, Any], work_dir: WorkDir) -> None:
    """Write the training state; the one before is kept until the new one is complete on disk."""
    current = work_dir.path / STATE
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    with replacing(current) as temporary:
        with open(temporary, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        if current.exists():
            os.replace(current, work_dir.path / PREVIOUS_STATE)


def load_state(work_dir: WorkDir, refuse: Callable[[dict[str, Any]], str] = lambda state: "") -> dict[str, Any] | None:
    """Return the newest usable training state, or None where there is none at all.

    A damaged newest state, or one that `refuse` has something to say against, is told in the log, and the one before
    it is used.

    Raises:
        UserError: states exist, but none can be read.
    """
    damaged: UserError | None = None
    for name in (STATE, PREVIOUS_STATE):
        path = work_dir.path / name
        if not path.exists():
            continue
        try:
            if not path.is_file():
                raise UserError(f"{path}: is no file; move it away")
            state = read_torch_file(path)
            if not isinstance(state, dict) or "progress" not in state:
                raise UserError(f"{path}: not a training state")
            if reason := refuse(state):
                raise UserError(f"{path}: {reason}")
        except UserError as error:
            damaged = error
            work_dir.log(f"Damaged training state: {error}")
            continue
        if damaged:
            work_dir.log(f"Using the state before it: {path}")
        return state
    if damaged:
        hidden = [name for name in (STATE, PREVIOUS_STATE)
                  if (work_dir.path / name).exists() and not os.access(work_dir.path / name, os.R_OK)]
        if hidden:
            raise UserError(f"{work_dir.path / hidden[0]}: this user may not read it; mend its permissions (chmod, "
                            "chown), then --resume again")
        raise UserError(f"{damaged}; no earlier state is left: start again with --overwrite")
    return None
