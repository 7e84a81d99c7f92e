"""What a setting is, and how its value is read from a word of a command line or a YAML scalar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skeleton_lab.command.processors import usable_cores
from skeleton_lab.command.shares import share_range
from skeleton_lab.train.place import place_from_environment

_LARGEST_WHOLE = 2**63 - 1
LARGEST_REAL = (2 - 2**-23) * 2.0**127
RUNTIMES = TORCH, ONNXRUNTIME, OPENVINO, AUTO = ("torch", "onnxruntime", "openvino", "auto")
_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


@dataclass(frozen=True)
class Flag:
    """One setting: a key of the YAML config and, with hyphens, a flag of the command line.

    `convert` turns a command-line word or a YAML scalar into the value and raises ValueError.
    `many` settings take one or more words; `mapping` settings take `key=value,...` tokens that are
    merged over the YAML mapping; `switch` settings need no word (`--half` is `--half true`).
    `transient` settings steer one invocation and are not written to the saved config. `metavar` stands for the value
    in the help (default: the converter's name). `free` settings may change between a run and its resumption without
    making it another run. `recipe` settings say how a run computes, so that reports compare runs by them; the others
    say where it was and what of it is kept.
    """

    key: str
    convert: Callable[[Any], Any]
    default: Any
    help: str
    many: bool = False
    mapping: bool = False
    switch: bool = False
    transient: bool = False
    choices: tuple[str, ...] = ()
    metavar: str = ""
    free: bool = False
    recipe: bool = True


def boolean(value: Any) -> bool:
    """Read `yes true t y 1` / `no false f n 0` (any case) or a YAML boolean."""
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"expected true or false, not '{value}'")
    return word in _TRUE


def whole(value: Any) -> int:
    """Read an integer that 64 bits hold; refuse booleans and fractions."""
    if isinstance(value, bool | float):
        raise ValueError(f"expected a whole number, not '{value}'")
    number = int(value)
    if not -_LARGEST_WHOLE <= number <= _LARGEST_WHOLE:
        raise ValueError(f"expected a whole number of at most {_LARGEST_WHOLE}, not '{value}'")
    return number


def natural(value: Any) -> int:
    """Read an integer of at least 0."""
    number = whole(value)
    if number < 0:
        raise ValueError(f"expected 0 or more, not '{value}'")
    return number


def positive(value: Any) -> int:
    """Read an integer of at least 1."""
    number = whole(value)
    if number < 1:
        raise ValueError(f"expected 1 or more, not '{value}'")
    return number


def real(value: Any) -> float:
    """Read a number of at least 0 that single precision, in which models train, can hold."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, not '{value}'")
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"expected a number of 0 or more, not '{value}'")
    if number > LARGEST_REAL:
        raise ValueError(f"expected a number of at most {LARGEST_REAL:.3g}, the largest in single precision, not "
                         f"'{value}'")
    return number


def fraction(value: Any) -> float:
    """Read a number of at least 0 and below 1."""
    number = real(value)
    if number >= 1:
        raise ValueError(f"expected a number from 0 to below 1, not '{value}'")
    return number


def text(value: Any) -> str:
    """Read a word or a path."""
    if isinstance(value, list | dict):
        raise ValueError(f"expected a word, not '{value}'")
    return str(value)


def device_index(value: Any) -> int | str:
    """Read a GPU index, `cuda:<index>`, `cuda`, `cpu` or `auto`."""
    word = str(value).lower().removeprefix("cuda:")
    if word in ("cpu", "cuda", "auto"):
        return word
    if not (word.isascii() and word.isdigit()):
        raise ValueError(f"expected GPU indices, cuda, cpu or auto, not '{value}'")
    return int(word)


def share(value: Any) -> float | list[float]:
    """Read a share in (0, 1], or a range of shares: `0.1-1.0`, or `random` for just that."""
    words = value if isinstance(value, list) else str("0.1-1" if value == "random" else value).split("-")
    try:
        least, most = share_range([float(word) for word in words])
    except (TypeError, ValueError):
        raise ValueError(f"expected a share in (0, 1], a range such as 0.1-1.0, or random, not '{value}'") from None
    return [least, most] if least < most else least


def default_workers() -> int:
    """Loader processes by default: one for each core this process may use, at most four.

    Of several training processes each gets its share of the cores, and at least one loader process.
    """
    return max(min(usable_cores() // place_from_environment().local_size, 4), 1)
