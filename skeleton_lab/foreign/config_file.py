"""Configs of PYSKL and MMAction2, which are Python files: read as literals, never executed.

What theirs consist of is understood: assignments of constants, lists, tuples, dicts, calls of `dict` with keywords,
names assigned before, parts of those (`data['val']`), text with plain names in it, and `_base_`. Anything else is
refused with its line.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.errors import UserError

_MOST_BYTES = 1 << 20
_MOST_VALUES = 100_000
_MOST_TEXT = 1000  # characters of a name put into a text
_MOST_BASES = 8  # one on top of the other
_IGNORED = ("custom_imports",)
_ELSEWHERE = "::"  # `mmaction::_base_/default_runtime.py` lies in an installed package


class _Refused(Exception):
    """args: the line, and what stands there."""


def read_config(path: str | Path) -> dict[str, Any]:
    """Return what a config assigns, bases included.

    Raises:
        UserError: it cannot be read, is no Python, or holds more than literals.
    """
    path = Path(path)
    try:
        return _with_bases(path, path.read_bytes()[:_MOST_BYTES + 1], depth=0)
    except OSError as error:
        raise UserError(f"{path}: cannot read the config ({error.strerror}); check --config") from None


def parse_config(text: str, name: str) -> dict[str, Any]:
    """Return what the text of a config, such as checkpoints carry, assigns; `name` is for messages.

    Raises:
        UserError: it is no Python, or holds more than literals.
    """
    if len(text) > _MOST_BYTES:
        raise UserError(f"{name}: more than a config can have to say; give the .py that the network was "
                        "trained with")
    try:
        content = _Reader().read(ast.parse(text))
        if _size(content, {}) > _MOST_VALUES:
            raise _Refused(0, "more than a config can have to say; give the .py that the network was "
                        "trained with")
        return content
    except _Refused as refused:
        line, what = refused.args
        where = f"line {line}: " if line else ""
        raise UserError(f"{name}: {where}{what}; configs are read, not run: write the value out") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise UserError(f"{name}: no Python config ({'line ' + str(line) if line else type(error).__name__}); give the "
                        ".py that the network was trained with") from None


def _with_bases(path: Path, content: bytes, depth: int) -> dict[str, Any]:
    if depth > _MOST_BASES:
        raise UserError(f"{path}: more than {_MOST_BASES} configs on top of each other, or one that names itself; "
                        "write their settings into one file")
    try:
        own = parse_config(content.decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise UserError(f"{path}: no Python config (not text); give the .py that the network was trained "
                        "with") from None
    bases = own.pop("_base_", [])
    merged: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        if not isinstance(base, str):
            raise UserError(f"{path}: _base_ names no file; name the configs that it goes on from, or leave it out")
        if _ELSEWHERE not in base:
            below = path.parent / base
            try:
                merged |= _with_bases(below, below.read_bytes()[:_MOST_BYTES + 1], depth + 1)
            except OSError as error:
                raise UserError(f"{path}: cannot read its base {below} ({error.strerror}); put it there") from None
    return merge(merged, own)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` on top: dicts merge, unless theirs says `_delete_`; everything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping):
            delete = value.get("_delete_", False)
            below = {} if delete or not isinstance(merged.get(key), Mapping) else merged[key]
            merged[key] = merge(below, {name: item for name, item in value.items() if name != "_delete_"})
        else:
            merged[key] = value
    return merged


class _Reader:
    """Goes through a module's assignments and remembers their values."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}

    def read(self, module: ast.Module) -> dict[str, Any]:
        for statement in module.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                raise _refused(statement)
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                self.names[target.id] = None if target.id in _IGNORED else self.value(statement.value)
            elif isinstance(target, ast.Subscript):
                inside = self.value(target.value)
                if not isinstance(inside, dict):
                    raise _refused(statement)
                inside[self._hashable(target.slice)] = self.value(statement.value)
            else:
                raise _refused(statement)
        return {name: value for name, value in self.names.items() if name not in _IGNORED}

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and not isinstance(node.value, bytes | complex):
            return node.value
        if isinstance(node, ast.List | ast.Tuple):
            items = [self.value(item) for item in node.elts]
            return items if isinstance(node, ast.List) else tuple(items)
        if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
            return {self._hashable(key): self.value(item)  # type: ignore[arg-type]
                    for key, item in zip(node.keys, node.values, strict=True)}
        if _is_dict_call(node):
            return {str(keyword.arg): self.value(keyword.value) for keyword in node.keywords}  # type: ignore[attr-defined]
        if isinstance(node, ast.Name) and node.id in self.names:
            return self.names[node.id]
        return self._derived(node)

    def _derived(self, node: ast.expr) -> Any:
        """Return a number with a sign, a part of something, or text with names in it."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            number = self.value(node.operand)
            if isinstance(number, int | float):
                return -number
        if isinstance(node, ast.Subscript):
            whole, place = self.value(node.value), self._hashable(node.slice)
            if isinstance(whole, Mapping | list | tuple):
                try:
                    return whole[place]
                except (KeyError, IndexError, TypeError):
                    pass
        if isinstance(node, ast.JoinedStr):
            return "".join(self._text(part) for part in node.values)
        raise _refused(node)

    def _text(self, part: ast.expr) -> str:
        if isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None:
            part = part.value
        if isinstance(part, ast.Constant | ast.Name):
            value = self.value(part)
            if isinstance(value, str | int | float):
                return str(value)[:_MOST_TEXT]
        raise _refused(part)

    def _hashable(self, node: ast.expr) -> Any:
        value = self.value(node)
        if isinstance(value, str | int | float | None):
            return value
        raise _refused(node)


def _is_dict_call(node: ast.expr) -> bool:
    """Whether it is `dict(name=..., ...)`."""
    return (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args
            and all(keyword.arg for keyword in node.keywords))


def _size(value: Any, done: dict[int, int | None]) -> int:
    """Return how many values there are in one, what is shared counted each time; _Refused if it contains itself."""
    if not isinstance(value, dict | list | tuple):
        return 1 + len(value) // 100 if isinstance(value, str) else 1
    if id(value) in done:
        size = done[id(value)]
        if size is None:
            raise _Refused(0, "a value that contains itself")
        return size
    done[id(value)] = None
    size = 1 + sum(_size(item, done) for item in (value.values() if isinstance(value, dict) else value))
    done[id(value)] = size
    return size


def _refused(node: ast.AST) -> _Refused:
    kind = type(node).__name__
    called = getattr(getattr(node, "func", None), "id", None)
    return _Refused(getattr(node, "lineno", 0), f"a call of {called}" if called else f"more than a literal ({kind})")


def settings_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a config that matter here, whatever is in it: `backbone`, `classes`, `pipelines`, `data`.

    pipelines: by "train", "val" and "test", each a list of (type, options).
    """
    model = _mapping(config.get("model"))
    test_cfg = _mapping(model.get("test_cfg")) | _mapping(_mapping(model.get("cls_head")).get("test_cfg"))
    head = _mapping(model.get("cls_head"))
    pipelines = {part: _steps(config.get(f"{part}_pipeline")) for part in ("train", "val", "test")}
    return {"backbone": _mapping(model.get("backbone")), "classes": head.get("num_classes"), "pipelines": pipelines,
            "average_clips": test_cfg.get("average_clips", head.get("average_clips")), "data": _data(config)}


def recipe_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a config trains, as far as it says: `num_epoch`, `repeat`, `base_lr`, `weight_decay`, `nesterov`."""
    optimizer = _mapping(config.get("optimizer")) or _mapping(_mapping(config.get("optim_wrapper")).get("optimizer"))
    repeated = _mapping(_mapping(config.get("data")).get("train")) or _mapping(
        _mapping(config.get("train_dataloader")).get("dataset"))
    found = {"num_epoch": config.get("total_epochs", _mapping(config.get("train_cfg")).get("max_epochs")),
             "repeat": repeated.get("times"), "base_lr": optimizer.get("lr"),
             "weight_decay": optimizer.get("weight_decay"), "nesterov": optimizer.get("nesterov")}
    kinds: dict[str, tuple[type, ...]] = {"num_epoch": (int,), "repeat": (int,), "nesterov": (bool,)}
    return {name: value for name, value in found.items()
            if type(value) in kinds.get(name, (int, float)) and (value > 0 or name in ("weight_decay", "nesterov"))}


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _steps(value: Any) -> list[tuple[str, dict[str, Any]]]:
    steps = value if isinstance(value, Sequence) and not isinstance(value, str) else []
    return [(str(step["type"]), {key: item for key, item in step.items() if key != "type"})
            for step in steps if isinstance(step, Mapping) and "type" in step]


def _data(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the options of the data sets for training and for testing: PYSKL's `data`, MMAction2's loaders."""
    found = {}
    for part in ("train", "test"):
        entry = _mapping(_mapping(config.get("data")).get(part)) or _mapping(
            _mapping(config.get(f"{part}_dataloader")).get("dataset"))
        found[part] = _mapping(entry.get("dataset")) or entry  # within a RepeatDataset
    return found
