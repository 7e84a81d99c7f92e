"""What a step costs in memory and arithmetic, counted operation by operation rather than guessed.

`LiveBytes` sees every tensor that an operation returns, in the forward and the backward pass, and follows its storage
until it is freed. It does not see scratch memory inside a kernel (a convolution's workspace), nor what an allocator
rounds up or cannot reuse.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


class LiveBytes(TorchDispatchMode):
    """Inside the block: bytes of the tensors created in it that are still alive (`now`), and their peak (`peak`).

    Tensors that exist before the block are not counted; name those that operations will return (parameters that are
    updated in place, an input that is viewed) in `existing`.
    """

    def __init__(self, existing: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in existing}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._follow(leaf)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes()).atexit = False

    def _freed(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size


class KeptBytes:
    """Inside the block: bytes of the distinct storages that autograd keeps for the backward pass (`total`).

    Counted where autograd saves a tensor; parameters and the like, named in `existing`, are not counted. A tensor that
    a checkpointed region keeps by other means than autograd is not seen.
    """

    def __init__(self, existing: Iterable[Tensor] = ()) -> None:
        self._existing = {tensor.untyped_storage()._cdata for tensor in existing}
        self._sizes: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._save, lambda tensor: tensor)

    def _save(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._existing:
            self._sizes[storage._cdata] = storage.nbytes()
        return tensor

    @property
    def total(self) -> int:
        return sum(self._sizes.values())

    def __enter__(self) -> KeptBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._hooks.__exit__(*exception)


class _FlopCounter(FlopCounterMode):
    """PyTorch's own, which in 2.3 stumbles over operators that are given the tensor to write to."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        parents = getattr(self, "parents", None)  # only old versions have it
        if parents is None or "out" not in (kwargs or {}):
            return super().__torch_dispatch__(func, types, args, kwargs)  # type: ignore[misc]
        result = func(*args, **kwargs)
        count: Any = self.flop_registry.get(func._overloadpacket)
        if count is not None:
            for parent in set(parents):
                self.flop_counts[parent][func._overloadpacket] += count(*args, out=result)
        return result


def _of_product(total: Any, a: Any, b: Any, *_: Any, **options: Any) -> int:
    """Return the operations of total += a b, given the shapes (..., I, J) and (..., J, K)."""
    return 2 * math.prod(a) * b[-1]


def count_flops(forward: Callable[[], Any]) -> int:
    """Return the floating-point operations of `forward()`, two per multiply-add, as torch's counter counts them.

    It counts convolutions and matrix products, inside custom autograd functions too; element-wise work is left out.
    """
    aten = torch.ops.aten  # of products in place, which PyTorch leaves out
    in_place: dict[Any, Any] = {aten.addmm_: _of_product, aten.baddbmm_: _of_product}
    with _FlopCounter(display=False, custom_mapping=in_place) as counter:
        forward()
    return counter.get_total_flops()


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of the distinct storages behind `tensors`."""
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())
