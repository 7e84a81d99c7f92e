"""Weights that a training leaves as they are (`--freeze`)."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from skeleton_lab.errors import UserError, suggest
from skeleton_lab.nn.descriptor_fusion import FusedModel


def freeze(model: nn.Module, patterns: Sequence[str]) -> tuple[nn.Module, ...]:
    """Take the weights that the patterns name out of training; return the modules that are to stay in evaluation mode.

    A pattern is the name of a weight or of a part of the model, as in the checkpoint: `l1`, `l1.gcn1.bn.weight`, with
    `*`, `?` and `[...]` as in a shell. A part of which all weights are frozen stays in evaluation mode, so that its
    BatchNorms keep their moments and its dropout is off.

    Raises:
        UserError: a pattern names no weight, or nothing is left to train.
    """
    if not patterns:
        return ()
    weights = {_name(model, name): parameter for name, parameter in model.named_parameters()}
    for pattern in patterns:
        found = [name for name in weights if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")]
        if not found:
            parts = list(dict.fromkeys(name.partition(".")[0] for name in weights))
            raise UserError(f"--freeze {pattern}: names no weight of the model{suggest(pattern, [*parts, *weights])}; "
                            f"its parts are {', '.join(parts)}")
        for name in found:
            weights[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in weights.values()):
        raise UserError(f"--freeze {' '.join(patterns)}: leaves no weight to train; freeze less")
    return tuple(module for module in model.modules() if _is_frozen(module))


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _name(model: nn.Module, name: str) -> str:
    """Return the name that a weight has in checkpoints: a fused model's are those of the model within."""
    return name.removeprefix("model.") if isinstance(model, FusedModel) else name
