"""NaN and infinity in gradients, weights and an optimiser's momenta: found before they are saved, and named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.train.checkpoint import not_finite, unprefixed
from skeleton_lab.train.distributed import World

_SMALLEST_SCALE = 2.0 ** -10  # of fp16 gradients; one begins at 2**16, and overflow alone does not lead there


class GradientNorms:
    """The norms of all gradients of some steps; they stay on the device until the loop looks at its losses anyway.

    Gradients of fp16 passes are left to their scaler, which leaves out a step whose gradients overflow, as some do.
    """

    def __init__(self, model: nn.Module, scaler: torch.amp.GradScaler) -> None:
        self._named = list(unprefixed(dict(model.named_parameters())).items())
        self._scaler = scaler
        self._steps: list[tuple[list[str], Tensor]] = []

    def note(self) -> None:
        """Take the norms of the gradients as they are now, before the optimiser's step; nothing waits for them."""
        if self._scaler.is_enabled():
            return
        found = [(name, parameter.grad) for name, parameter in self._named
                 if parameter.grad is not None and parameter.grad.layout is torch.strided]
        # Norms of fp16 would overflow where the gradients do not.
        grads = [grad.float() if grad.dtype is torch.float16 else grad for _, grad in found]
        norms = torch.stack(torch._foreach_norm(grads)) if grads else torch.empty(0)
        self._steps.append(([name for name, _ in found], norms))

    def complaints(self, world: World, steps: int) -> list[str]:
        """Return what was wrong in each of the last `steps` steps: "", or which gradient was no number, for people.

        All processes call this together. What was noted is forgotten.
        """
        if self._scaler.is_enabled():
            return self._of_scaler(world, steps)
        noted, self._steps = self._steps, []
        norms = iter(world.mean(torch.cat([values for _, values in noted])).cpu().tolist())
        return [_first([(name, next(norms)) for name in names]) for names, _ in noted]

    def _of_scaler(self, world: World, steps: int) -> list[str]:
        scale = float(world.mean(torch.tensor(self._scaler.get_scale())))
        reason = ("" if scale >= _SMALLEST_SCALE else "fp16 gradients stay NaN or infinite however small their scale "
                  f"(now {scale:g})")
        return [""] * (steps - 1) + [reason]


def _first(norms: list[tuple[str, float]]) -> str:
    bad = [(name, norm) for name, norm in norms if not math.isfinite(norm)]
    if not bad:
        return ""
    others = f" (and of {len(bad) - 1} more parameters)" if len(bad) > 1 else ""
    return f"the norm of the gradient of {bad[0][0]} became {bad[0][1]}{others}"


@dataclass(frozen=True)
class Finite:
    """Tells which tensor of a training is no longer finite.

    Attributes:
        trained: names of the parameters in the order in which an optimiser numbers them.
        exempt: names of tensors that were not finite to begin with, a mask of -infinity for instance.
    """

    trained: tuple[str, ...]
    exempt: frozenset[str]

    @classmethod
    def of(cls, model: nn.Module) -> Finite:
        """Look at a model before its training."""
        parameters = unprefixed(dict(model.named_parameters()))
        return cls(tuple(name for name, parameter in parameters.items() if parameter.requires_grad),
                   frozenset(not_finite(unprefixed(dict(model.named_buffers())))))

    def complaint(self, model: Mapping[str, Any], optimizer: Mapping[str, Any]) -> str:
        """Return "", or which tensors of two `state_dict`s are not finite, for people.

        The answer is waited for: once an epoch is often enough.
        """
        weights = [name for name in not_finite(unprefixed(model)) if name not in self.exempt]
        bad = weights + [f"{key} of {name}" for name, kept in self._kept(optimizer) for key in not_finite(kept)]
        return f"{bad[0]}{f' and {len(bad) - 1} more' if len(bad) > 1 else ''}" if bad else ""

    def refuse_state(self, state: Mapping[str, Any]) -> str:
        """Return "", or why a training state that was read from a file is not to be used."""
        bad = self.complaint({**state.get("model", {}), **state.get("training_buffers", {})},
                             state.get("optimizer", {}))
        return f"holds NaN or infinity: {bad}" if bad else ""

    def _kept(self, optimizer: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, kept in optimizer.get("state", {}).items():
            known = isinstance(number, int) and number < len(self.trained)
            yield (self.trained[number] if known else f"parameter {number}"), kept
