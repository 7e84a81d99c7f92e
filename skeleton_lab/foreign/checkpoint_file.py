"""Checkpoints of PYSKL (mmcv) and MMAction2 (mmengine): the network's tensors, and what they say of themselves."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from skeleton_lab.errors import UserError
from skeleton_lab.train.torch_file import read_torch_file
from skeleton_lab.train.weights_file import find_weights

_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
_HEADS = {"cls_head.fc_cls.": "fc.", "cls_head.fc.": "fc.",  # PYSKL's, MMAction2's
          "cls_head.csc_loss.": "csc_loss."}  # ProtoGCN's
_AVERAGES = "ema_"  # mmcv's: copies, which the entries themselves are at an epoch's end


@dataclass(frozen=True)
class Checkpoint:
    """state: tensors by key, without `backbone.`, the classifier as `fc`. config: text of the config it was trained
    with, or "". epoch: or None. of_mmaction2: whether its keys are MMAction2's, not PYSKL's.
    """

    state: OrderedDict[str, Tensor]
    config: str
    epoch: int | None
    of_mmaction2: bool


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint of either project, bare or with its training state; nothing in it is run.

    Raises:
        UserError: missing, damaged, no checkpoint, or with numbers that are not finite.
    """
    content = read_torch_file(path, foreign=True)
    weights = find_weights(content, path, say=lambda line: None)
    bare = {_WRAPPERS.sub("", key): value for key, value in weights.items()}
    state: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in bare.items():
        if not key.startswith(_AVERAGES):
            state[_named(key)] = value.detach()
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise UserError(f"{path}: '{key}' holds NaN or infinity: that training diverged, or the file is "
                                "damaged; give another checkpoint")
    meta = content.get("meta") if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    config = next((text for text in (meta.get("config"), meta.get("cfg")) if isinstance(text, str)), "")
    epoch = meta.get("epoch")
    return Checkpoint(state, config, epoch if type(epoch) is int else None,
                      any(key.startswith("cls_head.fc.") for key in bare))


def _named(key: str) -> str:
    for theirs, ours in _HEADS.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key.removeprefix("backbone.")


def as_theirs(state: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Return a network's tensors, keys as in `Checkpoint.state`, under PYSKL's keys."""
    return OrderedDict((f"cls_head.fc_cls.{key.removeprefix('fc.')}" if key.startswith("fc.") else f"backbone.{key}",
                        value.detach().cpu().contiguous()) for key, value in state.items())
