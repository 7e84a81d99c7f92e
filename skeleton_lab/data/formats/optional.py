"""Libraries that only some formats need, and what is said where one is not there."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from skeleton_lab.errors import UserError


def library(path: Path, name: str) -> ModuleType:
    """Return a library that reads files such as `path`.

    Raises:
        UserError: it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise _missing(path, name) from None
        raise UserError(f"{path}: the package {name}, which reads it, cannot be loaded ({error!s:.80}); install it "
                        f"anew: {_command(name)}") from None


def require(path: Path, name: str) -> None:
    """Raise UserError, with the command that installs it, if a library that reads files such as `path` is not there."""
    if importlib.util.find_spec(name) is None:
        raise _missing(path, name)


def _missing(path: Path, name: str) -> UserError:
    return UserError(f"{path}: reading it needs the package {name}; get it with: {_command(name)}")


def _command(name: str) -> str:
    return f"python3 -m pip install {name}"
