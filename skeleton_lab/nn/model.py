"""What a model may offer: all that the lab asks of one, in one place.

A model is an `nn.Module` that maps clips (N, C, T, V, M) to logits (N, classes), or to a tuple that begins with them.
It may take further tensors behind the clips, which its feeder then gives; without them it assumes what is usual.
Each protocol below is one thing that it may offer besides; `docs/add_a_model.md` says what the lab does with it. A
readable form of the model, of the same state dict, is in `<tree>/model/reference.py`: `--model
model.reference.Model` trains, tests and exports it as it does any other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
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
    depend on must be in the state dict or among the `training_buffers`, since a resumed run knows nothing else.

    `auxiliary_loss(...)` returns the loss of the last pass, the mean over its clips: a scalar with gradients, weighted
    already. It is asked once a pass. Where it has parameters `logits` (N, classes) or `labels` (N,), it is given those
    of the pass, on the model's device.
    """

    auxiliary_loss: Callable[..., Tensor]


class HasTrainingBuffers(Protocol):
    """A model with buffers outside its state dict that move in training: the state of a run has them, weights have not.

    What only training needs belongs there, a memory of the clips seen so far for instance.
    """

    training_buffers: Sequence[str]  # dotted names


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


class HasExportNote(Protocol):
    """A model of which whoever uses an exported file must know something: a sentence, which `export.py` says."""

    export_note: str


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


def export_note_of(model: object) -> str:
    """Return what a model says about files exported from it; nothing, as a rule."""
    return getattr(model, "export_note", "")


def auxiliary_loss_of(model: nn.Module, logits: Tensor, labels: Tensor) -> Tensor | None:
    """Return the auxiliary loss of a model's last training pass, None if it has none.

    `model` may be wrapped for several processes. logits (N, classes) and labels (N,) are those of the pass.
    """
    inner = cast("nn.Module", model.module) if isinstance(model, DistributedDataParallel) else model
    if not has_auxiliary_loss(inner):
        return None
    taken = inspect.signature(inner.auxiliary_loss).parameters
    return inner.auxiliary_loss(**{name: value for name, value in (("logits", logits), ("labels", labels))
                                   if name in taken})


def training_buffers_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the buffers outside its state dict that a model's training depends on, by name."""
    return {name: model.get_buffer(name) for name in getattr(model, "training_buffers", ())}


def load_training_buffers(model: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Set those buffers to what `training_buffers_of` returned.

    Raises:
        KeyError, ValueError: one is missing, or of another shape.
    """
    for name, buffer in training_buffers_of(model).items():
        if saved[name].shape != buffer.shape:
            raise ValueError(f"{name} is {tuple(saved[name].shape)}, not {tuple(buffer.shape)}")
        buffer.copy_(saved[name])
