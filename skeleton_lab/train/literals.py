"""The dict-valued command-line flags: `key=value,key=value` tokens, read as literals, never run."""

from __future__ import annotations

import ast
import re
from typing import Any

_KEY = re.compile(r"\s*([A-Za-z_][\w.]*)\s*=(?!=)(.*)", re.DOTALL)
_CALL = re.compile(r"dict\((.*)\)", re.DOTALL)
_BARE_WORD = re.compile(r"[\w./:~+\- \udc80-\udcff]+")  # the last: bytes of a path that the locale cannot decode
_MOST_DEPTH = 20
_MOST_SHOWN = 80  # characters of a token in a complaint
_OPEN, _CLOSE = "([{", ")]}"


def parse_assignments(token: str) -> dict[str, Any]:
    """Parse one token of a dict-valued flag (spec: CTR-GCN 1.3).

    Accepted: `bone=True,vel=True`, lists, quoted strings, bare words as strings, nested
    `dict(...)` or `{...}`, a whole `{...}`, `[(key, value), ...]` or `**{...}`, and dotted keys
    (`graph_args.labeling_mode=spatial`), which make nested dicts. An empty token is no change.

    Raises:
        ValueError: the token is none of these; the message says which part is not.
    """
    try:
        result = _assignments(token)
        _check(result)
    except RecursionError:
        raise ValueError(f"{_shown(token)} is nested too deeply") from None
    return result


def _assignments(token: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for part in _split_at_commas(token):
        assignment = _KEY.fullmatch(part)
        if assignment and not part.lstrip().startswith(("{", "[", "**")):
            _assign(result, assignment[1], parse_value(assignment[2]))
        else:
            result.update(_mapping(part))
    return result


def parse_value(text: str) -> Any:
    """Parse one value: a Python literal, `dict(...)`, or a bare word, which is a string."""
    text = text.strip()
    call = _CALL.fullmatch(text)
    if call:
        return _assignments(call[1])
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        if _BARE_WORD.fullmatch(text):
            return text
        raise ValueError(f"{_shown(text)} is neither a literal nor a plain word") from None


def _check(value: Any, depth: int = 0) -> None:
    """Raise a ValueError for what no setting can be and a saved config cannot hold; RecursionError for deep nesting."""
    if depth > _MOST_DEPTH:
        raise RecursionError
    if isinstance(value, dict | list | tuple):
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(item, depth + 1)
    elif not isinstance(value, str | int | float | None):
        raise ValueError(f"{_shown(repr(value))} is of a type that no setting has ({type(value).__name__})")


def _shown(text: str) -> str:
    """Quote the beginning of a text, on one line."""
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "...")


def _assign(result: dict[str, Any], dotted_key: str, value: Any) -> None:
    *outer, last = dotted_key.split(".")
    for key in outer:
        result = result.setdefault(key, {})
        if not isinstance(result, dict):
            raise ValueError(f"{_shown(dotted_key)}: '{key[:_MOST_SHOWN]}' is already a plain value")
    result[last] = value


def _mapping(part: str) -> dict[str, Any]:
    """Read `{...}`, `**{...}` or `[(key, value), ...]`."""
    value = parse_value(part.strip().removeprefix("**"))
    try:
        mapping = dict(value)
    except (TypeError, ValueError):
        raise ValueError(f"{_shown(part.strip())} is not key=value") from None
    if not all(isinstance(key, str) for key in mapping):
        raise ValueError(f"{_shown(part.strip())} has keys that are not words")
    return mapping


def _split_at_commas(token: str) -> list[str]:
    """Split at the commas that no bracket or quote encloses; drop empty parts."""
    parts, depth, quote, start = [], 0, "", 0
    for position, char in enumerate(token):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(token[start:position])
            start = position + 1
    parts.append(token[start:])
    return [part for part in parts if part.strip()]
