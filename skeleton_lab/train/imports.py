"""Dotted paths of a configuration (`model.ctrgcn.Model`) to the objects they name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from skeleton_lab.errors import UserError, suggest


def load_object(dotted: str) -> Any:
    """Import the module left of the last dot and return the attribute right of it.

    Raises:
        UserError: `dotted` is not a dotted path, its module does not exist, or the module has no
            such attribute; each case says which. A module that exists but fails while it is being
            imported raises its own error, since that is a fault in the module.
    """
    module_name, _, attribute = str(dotted).rpartition(".")
    if not module_name or not attribute:
        raise UserError(f"'{dotted}' is not a dotted path; write it as package.module.Name")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there; something it imports is not
        raise UserError(f"'{dotted}': no module named '{error.name}'; check the spelling, and that the command runs "
                        "inside the model's folder") from None
    try:
        return getattr(module, attribute)
    except AttributeError:
        known = [name for name in vars(module) if not name.startswith("_")]
        raise UserError(f"'{dotted}': module '{module_name}' has no attribute '{attribute}'"
                        f"{suggest(attribute, known)}") from None


def construct(dotted: str, arguments: Mapping[str, Any], key: str) -> Any:
    """Call the object at `dotted` with keyword `arguments`, which came from the config key `key`.

    Raises:
        UserError: the path does not resolve, or the callable does not take an argument or lacks one.
    """
    target = load_object(dotted)
    check_arguments(target, dotted, arguments, key)
    return target(**arguments)


def check_arguments(target: Callable[..., Any], dotted: str, arguments: Mapping[str, Any], key: str) -> None:
    """Raise a UserError unless `target(**arguments)` matches the callable's signature."""
    parameters = inspect.signature(target).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind == p.VAR_KEYWORD for p in parameters):
        for name in arguments:
            if name not in named:
                raise UserError(f"{key}: '{dotted}' takes no option '{name}'{suggest(name, named)} "
                                f"(it takes: {', '.join(named)})")
    for p in parameters:
        if p.default is p.empty and p.name in named and p.name not in arguments:
            raise UserError(f"{key}: '{dotted}' needs the option '{p.name}'; set it in the config or with "
                            f"--{key.replace('_', '-')} {p.name}=...")
