"""Where in a checkpoint the weights are, whoever made it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skeleton_lab.errors import UserError
from skeleton_lab.train.torch_file import ADVICE, shown

_WEIGHT_KEYS = ("state_dict", "model_state_dict", "model", "net")  # what people keep weights under, commonest first
_SHOWN_KEYS = 8
_DEEPEST = 3  # keys that lead to the weights


def find_weights(content: Any, path: str | Path, say: Callable[[str], None]) -> dict[str, torch.Tensor]:
    """Return the mapping from names to tensors in what `read_torch_file` gave of `path`.

    It is the content itself, or stands under one of the usual keys, or is the only one under any key; NumPy arrays
    are taken for tensors. `say` is told under which key it was found, and what is not used.

    Raises:
        UserError: there is none, or there are several under unusual keys; the line names the keys.
    """
    place = _place_of_weights(content, path, ())
    if place is None:
        has_keys = isinstance(content, Mapping) and content
        what = f"its keys are {_listed(content)}" if has_keys else f"it is a {type(content).__name__} without any"
        raise UserError(f"{path}: not a weight file: expected a mapping from names to tensors, by itself or under one "
                        f"of the keys {', '.join(_WEIGHT_KEYS)}, but {what}; {ADVICE}")
    found, unused = content, []
    for key in place:
        unused += [other for other in found if other != key]
        found = found[key]
    weights = {key: _as_tensor(value) for key, value in found.items() if isinstance(key, str) and _is_array(value)}
    unused += [key for key in found if key not in weights]
    if place or unused:
        where = f"the weights are under '{'.'.join(place)}'" if place else "a mapping of weights"
        others = [key for key in unused if _holds_weights(content.get(key))]
        say(f"{path}: {where}" + (f"; not used: {_listed(unused)}" if unused else "") + "."
            + (f" There are weights under {_listed(others)} too: to use those, save them alone." if others else ""))
    return weights


def _holds_weights(value: Any) -> bool:
    """Whether it is plainly a set of weights, such as a moving average's."""
    return isinstance(value, Mapping) and any(
        isinstance(key, str) and "." in key and _is_array(array) for key, array in value.items())


def _place_of_weights(content: Any, path: str | Path, place: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the keys that lead to the weights in `content`, which `place` leads to; None if there are none."""
    if not isinstance(content, Mapping) or len(place) > _DEEPEST:
        return None
    for key in _WEIGHT_KEYS:
        found = _place_of_weights(content.get(key), path, (*place, key))
        if found:
            return found
    arrays = [key for key, value in content.items() if isinstance(key, str) and _is_array(value)]
    if arrays and (len(arrays) == len(content) or any("." in key for key in arrays)):
        return place
    inner = [found for key, value in content.items() if isinstance(key, str)  # an optimiser's states have numbers
             if (found := _place_of_weights(value, path, (*place, key)))]
    if len(inner) > 1:
        names = _listed(".".join(keys) for keys in inner)
        raise UserError(f"{path}: holds several sets of weights, under {names}; save the one that is meant under the "
                        "key 'state_dict'")
    return inner[0] if inner else None


def _is_array(value: Any) -> bool:
    is_numpy = isinstance(value, np.ndarray | np.generic)
    return isinstance(value, torch.Tensor) or (is_numpy and value.dtype.kind in "biuf")


def _as_tensor(value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    array = np.asarray(value)
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("=")))  # PyTorch knows no foreign byte order


def _listed(keys: Iterable[Any]) -> str:
    names = [shown(key) for key in keys]
    more = f" and {len(names) - _SHOWN_KEYS} more" if len(names) > _SHOWN_KEYS else ""
    return ", ".join(names[:_SHOWN_KEYS]) + more
