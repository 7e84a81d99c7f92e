"""Batches in page-locked memory, which a GPU fetches by itself; where a machine gives none, in ordinary memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch.utils.data import DataLoader


@dataclass(frozen=True)
class Pinnable:
    """A batch as a loader hands it on: `parts` are tensors, or have `pin_memory` as tensors do.

    `trouble`: why it is not pinned, said by the first one of the process that could not be; no other tries again. How
    much memory may be locked is limited, under WSL2 and in some containers to little.
    """

    parts: Any
    trouble: str = ""
    refused: ClassVar[bool] = False

    def pin_memory(self) -> Pinnable:
        """Return the batch pinned, or as it is; called by the loader's thread for that."""
        if Pinnable.refused:
            return self
        try:
            return Pinnable([part.pin_memory() if hasattr(part, "pin_memory") else part for part in self.parts])
        except RuntimeError as error:
            Pinnable.refused = True
            return Pinnable(self.parts, " ".join(str(error).split())[:200] or type(error).__name__)


@dataclass(frozen=True)
class _Wrapped:
    """A collate function whose batches are `Pinnable`; an object, since loader processes may have to be sent it."""

    collate: Callable[[Any], Any]

    def __call__(self, samples: Any) -> Pinnable:
        return Pinnable(self.collate(samples))


class PinningLoader(DataLoader[Any]):
    """A `DataLoader` that pins its batches, and goes on without, once said, where that fails.

    Args:
        say: told so.
        collate: as of a DataLoader.
        options: other arguments of a DataLoader.
    """

    def __init__(self, dataset: Any, say: Callable[[str], None], collate: Callable[[Any], Any], **options: Any) -> None:
        super().__init__(dataset, collate_fn=_Wrapped(collate), pin_memory=True, **options)
        self._say = say

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield each batch as `collate` made it, in a list where it is pinned."""
        for batch in super().__iter__():
            if batch.trouble:
                self._say(f"Batches cannot be put into page-locked memory ({batch.trouble}); going on without, which "
                          "makes copies to the GPU slower.")
            yield batch.parts
