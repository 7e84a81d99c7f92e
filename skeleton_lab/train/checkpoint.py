"""Weights in upstream's form, and the full training state that `--resume` continues from."""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import _weights_only_unpickler, nn

from skeleton_lab.errors import UserError
from skeleton_lab.files import replacing, write_bytes
from skeleton_lab.nn.descriptor_fusion import skeleton_part
from skeleton_lab.train.workdir import PREVIOUS_STATE, STATE, WorkDir

_SHOWN_KEYS = 4
_DOS_FOLDER = 0x10  # the attribute by which readers take a member of a zip file for a folder


def read_torch_file(path: str | Path) -> Any:
    """Load a torch file of tensors and plain data onto the CPU; nothing in it can run code.

    Raises:
        UserError: the file is missing, damaged, or holds more than tensors and plain data.
    """
    try:
        if zipfile.is_zipfile(path):
            _check_members(path)
        _allow_counters()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, in a file that is no pickle
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except pickle.UnpicklingError:
        raise UserError(f"{path}: holds more than tensors and plain data, or is damaged; it was not loaded") from None
    except Exception as error:  # a damaged file makes torch raise nearly anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: cannot read it as weights ({reason}); is the file complete?") from None


def _check_members(path: str | Path) -> None:
    """Raise BadZipFile where a torch file is not as torch wrote it; torch itself would load it without a word."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise zipfile.BadZipFile("torch never packs what it saves")
        if any(member.external_attr & _DOS_FOLDER for member in members):
            raise zipfile.BadZipFile("torch saves no folders")  # PyTorch 2.3 would not fill the tensor
        if archive.testzip():
            raise zipfile.BadZipFile("its content does not match its checksums")


def _allow_counters() -> None:
    """Let PyTorch before 2.6 read a `Counter` too: the schedule in published checkpoints has one, of plain numbers."""
    if hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals([Counter])
    else:  # PyTorch 2.3 has no public way
        _weights_only_unpickler._get_allowed_globals()["collections.Counter"] = Counter


def unprefixed(state: Mapping[str, Any]) -> OrderedDict[str, Any]:
    """Return `state` with keys as a single-device model has them (the text after the last `module.`)."""
    return OrderedDict((key.split("module.")[-1].removeprefix("_orig_mod."), value) for key, value in state.items())


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
    content = read_torch_file(path)
    if isinstance(content, dict) and isinstance(content.get("model"), Mapping):  # a training state
        content = content["model"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise UserError(f"{path}: not a weight file: expected a mapping from names to tensors")
    weights = unprefixed(content)
    for word in ignore:
        dropped = [key for key in weights if (key == word if ignore_exact else word in key)]
        for key in dropped:
            say(f"Ignoring weights: {key}")
            del weights[key]
    own = model.state_dict()
    weights = skeleton_part(weights, own, say)
    _refuse_other_architecture(path, weights, own)
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


def load_state(work_dir: WorkDir) -> dict[str, Any] | None:
    """Return the newest readable training state, or None where there is none at all.

    A damaged newest state is told in the log, and the one before it is used.

    Raises:
        UserError: states exist, but none can be read.
    """
    damaged: UserError | None = None
    for name in (STATE, PREVIOUS_STATE):
        path = work_dir.path / name
        if not path.exists():
            continue
        try:
            state = read_torch_file(path)
            if not isinstance(state, dict) or "progress" not in state:
                raise UserError(f"{path}: not a training state")
        except UserError as error:
            damaged = error
            work_dir.log(f"Damaged training state: {error}")
            continue
        if damaged:
            work_dir.log(f"Using the state before it: {path}")
        return state
    if damaged:
        raise UserError(f"{damaged}; no earlier state is left: start again with --overwrite")
    return None
