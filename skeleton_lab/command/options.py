"""How every command line is read, before the libraries load that do the work: unknown words get the nearest known one.

A script reads its options first and imports after that:

    def read_options() -> argparse.Namespace:
        parser = Parser(__doc__)
        parser.add_argument("--input", type=input_path, required=True)
        return parser.parse_args()

    if __name__ == "__main__":
        OPTIONS = read_early(read_options)

    import numpy as np
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from skeleton_lab.command import interrupt
from skeleton_lab.errors import EXIT_BAD_INPUT, UserError, missing, reported, suggest

T = TypeVar("T")


def read_early(read_options: Callable[[], T]) -> T:
    """Return a script's options; a typo, a missing file or `--help` ends it here.

    From here to `run_command`, while the libraries load, Ctrl-C ends the script at once and without a traceback.
    """
    with reported():
        options = read_options()
    interrupt.ends_at_once()
    return options


def input_path(word: str) -> Path:
    """Read the path of a file or folder that must be there; `Parser` refuses others."""
    return Path(word)


def require_within(options: argparse.Namespace, **ranges: tuple[float, float]) -> None:
    """Raise a UserError unless each option lies between two numbers, which are inclusive."""
    for name, (least, most) in ranges.items():
        if not least <= getattr(options, name) <= most:
            raise UserError(f"--{name.replace('_', '-')} {getattr(options, name)}: must be between {least} and {most}")


def picture_size(word: str) -> tuple[int, int]:
    """Read "1920x1080", the width and height of a picture in pixels."""
    width, _, height = word.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) < 1 << 16 and 0 < int(height) < 1 << 16):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, such as 1920x1080, not '{word}'")
    return int(width), int(height)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` without abbreviations, whose complaints are one line and name the nearest known word."""

    def __init__(self, description: str | None = None, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(description=description, allow_abbrev=False, **options)
        self._inputs: dict[str, bool] = {}  # whether there must be one

    def add_input(self, dest: str, what: str, *aliases: str, many: bool = False, required: bool = True) -> None:
        """Add the file, or the files, that a command reads: given by place, as `--input` or by one of its `aliases`.

        Args:
            what: the help text. required: False: without a file `dest` is None, or an empty list.
        """
        kind: dict[str, Any] = {"type": input_path, "metavar": "FILE"}
        self.add_argument(f"{dest}_by_place", nargs="*" if many else "?", help=what, **kind)
        self.add_argument("--input", *aliases, dest=dest, nargs="+" if many else None, help="the same", **kind)
        self._inputs[dest] = required

    def add_output(self, metavar: str, what: str = "file to write", required: bool = True) -> None:
        """Add the file that a command writes, which is for `files.claim_new`, and whether it may be replaced."""
        self.add_argument("--output", type=Path, required=required, metavar=metavar, help=what)
        self.add_argument("--overwrite", action="store_true", help="replace an output that exists")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As its base; unknown flags are told before missing ones, and paths that must be there are looked at.

        Raises:
            UserError: an `input_path` is not there.
        """
        words = list(sys.argv[1:] if args is None else args)
        self._refuse_unknown(words)
        found, rest = super().parse_known_args(words, namespace)
        for dest, required in self._inputs.items():
            self._settle(found, dest, required)
        for action in self._actions:
            if action.type is input_path:
                _require(action, getattr(found, action.dest, None))
        return found, rest

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line."""
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: error: {message} (--help shows all options)\n")

    def _settle(self, found: Any, dest: str, required: bool) -> None:
        """Keep what was given in one of the two ways."""
        by_place, named = getattr(found, f"{dest}_by_place"), getattr(found, dest)
        delattr(found, f"{dest}_by_place")
        if by_place and named:
            self.error("FILE is given twice, by place and as --input; give it once")
        if required and not (by_place or named):
            self.error("no FILE is given; name one, with --input or without")
        setattr(found, dest, by_place or named or ([] if isinstance(by_place, list) else None))

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        known = [option for action in self._actions if action.help != argparse.SUPPRESS
                 for option in action.option_strings if option.startswith("--")]
        for word in words[:words.index("--")] if "--" in words else words:
            name = word.partition("=")[0]
            if name.startswith("--") and " " not in word and name not in self._option_string_actions:
                self.error(f"unknown option {name}{suggest(name, known)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(action, f"'{value}' is none of {', '.join(choices)}"
                                                 f"{suggest(str(value), choices)}")


def _require(action: argparse.Action, value: Any) -> None:
    """Raise a UserError unless the path or paths that an option was given, or has by default, are there."""
    name = action.option_strings[0] if action.option_strings else action.dest
    for path in value if isinstance(value, list | tuple) else [value]:
        if path is not None:
            require_path(path, name)


def require_path(path: str | Path, option: str) -> None:
    """Raise a UserError unless there is a file or folder at `path`, which `option` gave."""
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        raise missing(path, error if isinstance(error, OSError) else None, f"check {option}") from None
