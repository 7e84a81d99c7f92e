"""What evaluation makes of a module's weights - folded batch norms, merged convolutions - made once and kept.

It is kept beside the modules, not on them: copies, pickles and state dicts know nothing of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Made = TypeVar("Made")

_kept: weakref.WeakKeyDictionary[nn.Module, _Kept] = weakref.WeakKeyDictionary()


def prepared(parts: tuple[nn.Module, ...], dtype: torch.dtype, make: Callable[[], Made]) -> Made:
    """Return make(), which depends on the tensors of `parts` and on `dtype`: the last one, while these stay.

    Noticed are tensors and modules put in another's place, tensors that moved, and writing to them (which counts their
    versions up; only through `.data` it does not). Where gradients are recorded nothing is kept.

    Args:
        parts: modules; the result is kept for the first, one for each module, until that is no more.
    """
    if torch.is_grad_enabled():
        return make()
    kept = _kept.get(parts[0])
    if kept is None or not kept.holds(parts, dtype):
        kept = _Kept(parts, dtype, make())
        if kept.can_be_watched:
            _kept[parts[0]] = kept
    return kept.made


class _Kept:
    """A result, and what it was made of."""

    def __init__(self, parts: tuple[nn.Module, ...], dtype: torch.dtype, made: Any) -> None:
        self.made, self._dtype = made, dtype
        self._parts = [weakref.ref(part) for part in parts]  # one of them is the key, which must be free to go
        modules = [module for part in parts for module in part.modules()]
        self._children = [(module._modules, name, child) for module in modules
                          for name, child in module._modules.items()]
        places: list[tuple[Mapping[str, Tensor | None], str]] = [
            (tensors, name) for module in modules for tensors in (module._parameters, module._buffers)
            for name in tensors]
        self._tensors = [(tensors, name, tensor, tensor.data_ptr()) for tensors, name in places
                         if (tensor := tensors[name]) is not None]
        # A tensor made in inference mode counts no versions.
        self.can_be_watched = not any(tensor.is_inference() for _, _, tensor, _ in self._tensors)
        self._versions = [tensor._version for _, _, tensor, _ in self._tensors] if self.can_be_watched else []

    def holds(self, parts: tuple[nn.Module, ...], dtype: torch.dtype) -> bool:
        """Whether it would be made of the same things today."""
        return (dtype == self._dtype and len(parts) == len(self._parts)
                and all(ref() is part for ref, part in zip(self._parts, parts, strict=True))
                and all(children.get(name) is child for children, name, child in self._children)
                and all(tensors.get(name) is tensor and tensor._version == version and tensor.data_ptr() == address
                        for (tensors, name, tensor, address), version in
                        zip(self._tensors, self._versions, strict=True)))
