"""Dotted paths of a configuration (`model.ctrgcn.Model`) to the objects they name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import site
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from skeleton_lab.errors import UserError, suggest

T = TypeVar("T")


def load_object(dotted: str | None) -> Any:
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
        raise UserError(f"'{dotted}': no module named '{error.name}'{_nearest_module(error.name)}") from None
    try:
        return getattr(module, attribute)
    except AttributeError:
        known = [name for name in vars(module) if not name.startswith("_")]
        raise UserError(f"'{dotted}': module '{module_name}' has no attribute '{attribute}'"
                        f"{suggest(attribute, known)}") from None


def _nearest_module(name: str) -> str:
    """Return "; did you mean 'x'?" for a module that stands where the missing one would, or else what to check."""
    package, _, last = name.rpartition(".")
    folders = list(sys.modules[package].__path__) if package else sys.path[:2]  # of the script and of the checkout
    near = suggest(last, [module.name for module in pkgutil.iter_modules(folders)])
    if not near:
        return "; check the spelling, and that the command runs inside the model's folder"
    return near.replace("'", f"'{package}.", 1) if package else near


def construct(dotted: str | None, arguments: Mapping[str, Any], key: str) -> Any:
    """Call the object at `dotted` with keyword `arguments`, which came from the config key `key`.

    Raises:
        UserError: the path does not resolve, its object is not one to call, or does not take an argument or lacks one.
    """
    target = load_object(dotted)
    dotted = str(dotted)
    _refuse_foreign(target, dotted)
    check_arguments(target, dotted, arguments, key)
    return target(**arguments)


def _refuse_foreign(target: Any, dotted: str) -> None:
    """Raise a UserError unless `target` is a model or a data set, or anything of the user's or of a model's folder.

    A config comes from anywhere, and what it names is called with its options: it must not be `os.system`.
    """
    if not callable(target):
        raise UserError(f"'{dotted}' is a {type(target).__name__}, which cannot be called; name a class or a function")
    from torch import nn  # here, since tools that only look up a skeleton have no use for it
    from torch.utils.data import Dataset

    if isinstance(target, type) and issubclass(target, nn.Module | Dataset):
        return
    if _is_installed(dotted) or _is_installed(getattr(target, "__module__", None)):
        raise UserError(f"'{dotted}' is part of an installed package and neither a model nor a data set; a config may "
                        "name those, and what lies in the model's folder")


def _is_installed(dotted: str | None) -> bool:
    """Whether an imported module, or what lies in it, is Python's, an installed package's or the engine's."""
    top = (dotted or "").partition(".")[0]
    if top == __name__.partition(".")[0]:
        return True
    origin = getattr(getattr(sys.modules.get(top), "__spec__", None), "origin", None)
    if origin in ("built-in", "frozen"):
        return True
    paths = sysconfig.get_paths()
    folders = [*(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")), *site.getsitepackages(),
               site.getusersitepackages()]
    return origin is not None and any(Path(origin).is_relative_to(folder) for folder in folders)


def and_options_of_its_base(owner: type[T]) -> type[T]:
    """Declare, for `check_arguments`, that what a class takes by ** is what its base class takes besides."""
    own, base = inspect.signature(owner), inspect.signature(owner.__bases__[0])
    names = {name: p for name, p in own.parameters.items() if p.kind != p.VAR_KEYWORD}
    further = [p.replace(kind=p.KEYWORD_ONLY) for name, p in base.parameters.items() if name not in names]
    setattr(owner, "__signature__", own.replace(parameters=[*names.values(), *further]))  # noqa: B010 - of no type
    return owner


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
