"""From a trained model to a checkpoint that PYSKL and MMAction2 load."""

from __future__ import annotations

from pathlib import Path

import torch

from skeleton_lab.errors import UserError
from skeleton_lab.foreign.checkpoint_file import as_theirs
from skeleton_lab.foreign.imported import conversion_of
from skeleton_lab.foreign.network import Misfit
from skeleton_lab.train.checkpoint import write_torch_file
from skeleton_lab.train.trained import Trained

PYSKL = "pyskl"


def write_checkpoint(trained: Trained, path: Path) -> str:
    """Write `meta` and `state_dict` with PYSKL's keys; return the `model` of the config that goes with it.

    Raises:
        UserError: their networks cannot compute what this model does, or the file cannot be written.
    """
    conversion = conversion_of(trained.spec.root)
    if conversion is None or trained.config.model != conversion.MODEL:
        raise UserError(f"--format {PYSKL}: PYSKL has no network like {trained.config.model}; use another format")
    try:
        with torch.no_grad():
            theirs = conversion.to_theirs(trained.model)
    except Misfit as misfit:
        raise UserError(f"--format {PYSKL}: {trained.config.model} cannot be written: {misfit}; use another "
                        "format") from None
    classes, width = theirs.state["fc.weight"].shape
    config = (f"model = dict(type='RecognizerGCN', backbone={_as_call(theirs.backbone)}, cls_head=dict(type='GCNHead', "
              f"num_classes={classes}, in_channels={width}))\n")
    write_torch_file(path, {"meta": {"config": config}, "state_dict": as_theirs(theirs.state)})
    return config


def _as_call(value: object) -> str:
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key}={_as_call(item)}' for key, item in value.items())})"
    return repr(value)
