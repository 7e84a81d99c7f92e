"""What a model may offer: all that the lab asks of one, in one place.

A model is an `nn.Module` that maps clips (N, C, T, V, M) to logits (N, classes), or to a tuple that begins with them.
It may take further tensors behind the clips, which its feeder then gives; without them it assumes what is usual.
Each protocol below is one thing that it may offer besides; `docs/add_a_model.md` says what the lab does with it. A
readable form of the model, of the same state dict, is in `<tree>/model/reference.py`: `--model
model.reference.Model` trains, tests and exports it as it does any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeGuard, cast

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class HasFeatures(Protocol):
    """A model that ends in a linear classifier: descriptors can be fused with it (`--descriptors`, `--fusion`)."""

    fc: Any  # nn.Linear: F -> classes

    def features(self, clips: Tensor) -> Tensor:
        """Return what the classifier gets of clips (N, C, T, V, M): (N, F)."""
        ...


class MemoryFriendly(Protocol):
    """A model that can recompute activations instead of keeping them (`--memory-friendly`); its numbers stay."""

    def set_memory_friendly(self, on: bool) -> None:
        """Switch that on or off, at any time between two passes."""
        ...


class Capturable(Protocol):
    """A model whose passes can be recorded as a CUDA graph, if `capturable` is True.

    On clips of one shape each training pass launches the same kernels, and waits for no result.
    """

    capturable: bool


class HasAuxiliaryLoss(Protocol):
    """A model with a loss of its own, which training adds to the cross-entropy.

    It follows from the last forward pass in training mode: what it is made of is kept on the model, as no part of the
    state dict, and replaced at the next pass. Weights and schedules of the loss are the model's own affair; what they
    depend on must be in the state dict, since a resumed run knows nothing else.
    """

    def auxiliary_loss(self) -> Tensor:
        """Return the loss of the last pass, the mean over its clips: a scalar with gradients, weighted already."""
        ...


class HasReference(Protocol):
    """A model with operators of its own that has a twin of standard ones, which is what is exported.

    The twin takes the same arguments and has the same state dict.
    """

    reference: type[nn.Module]


class TakesMore(Protocol):
    """A model that takes more than clips, so that an exported file has inputs for it.

    `further_inputs`: the names of the further arguments of its call, in their order, with the axes of each: "NT" is one
    number for each frame of each clip, "NCTVM" as many as in the clips.
    """

    further_inputs: Mapping[str, str]


def has_features(model: object) -> bool:
    """Whether a model offers its features, with a linear classifier over them."""
    return callable(getattr(model, "features", None)) and isinstance(getattr(model, "fc", None), nn.Linear)


def is_memory_friendly(model: object) -> TypeGuard[MemoryFriendly]:
    """Whether a model offers to recompute activations."""
    return callable(getattr(model, "set_memory_friendly", None))


def is_capturable(model: object) -> TypeGuard[Capturable]:
    """Whether a model's passes may be recorded."""
    return bool(getattr(model, "capturable", False))


def has_auxiliary_loss(model: object) -> TypeGuard[HasAuxiliaryLoss]:
    """Whether a model has a loss of its own."""
    return callable(getattr(model, "auxiliary_loss", None))


def reference_of(model: object) -> Callable[..., nn.Module] | None:
    """Return the class of a model's twin of standard operators, None if it names none."""
    reference = getattr(model, "reference", None)
    return reference if isinstance(reference, type) else None


def further_inputs_of(model: object) -> Mapping[str, str]:
    """Return the names and axes of what a model takes beside clips; nothing, as a rule."""
    return getattr(model, "further_inputs", {})


def auxiliary_loss_of(model: nn.Module) -> Tensor | None:
    """Return the auxiliary loss of a model's last training pass, None if it has none.

    `model` may be wrapped for several processes.
    """
    inner = cast("nn.Module", model.module) if isinstance(model, DistributedDataParallel) else model
    return inner.auxiliary_loss() if has_auxiliary_loss(inner) else None
