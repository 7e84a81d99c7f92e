"""Skeletons with a second modality: a descriptor of each clip, from its video or a text, joins a model's features.

It fits each skeleton model that has `features(clips)` (N, F) and a linear classifier `fc` (F -> classes). The
classifier is widened: to its scores of the features come those of further inputs h,

- "late": the descriptor itself, so that two sets of scores are added up;
- "concat": the descriptor, and a hidden layer over features and descriptor side by side;
- "gate": a projection of the descriptor, of which features and descriptor decide, unit by unit, how much is let in, as
  in gated multimodal units (Arevalo et al., "Gated Multimodal Units for Information Fusion", ICLR workshop 2017).

Weights of h start at zero, and so each begins at the skeleton model's own output, to the bit. The model's weights keep
their own keys; those of the fusion are under `fusion.`.

Notation: N clips, F features, D numbers of a descriptor, H units of h.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skeleton_lab.errors import UserError
from skeleton_lab.nn.inputs import Data, Inputs
from skeleton_lab.nn.model import has_auxiliary_loss, has_features, training_buffers_of

PREFIX = "fusion."
# The length of the vectors that scores are computed from. With longer ones, noise would decide the scores at the
# learning rates that the models are trained with.
LENGTH = 1.0
DROPOUT = 0.5
HIDDEN = 128


class Vectors(Protocol):
    """Where descriptors come from: one of `width` numbers, float32, for each sample name."""

    width: int

    def __getitem__(self, name: str) -> np.ndarray: ...

    def require(self, names: Sequence[str], what: str) -> None: ...


@dataclass(frozen=True)
class Describe:
    """Gives batches their descriptors; `names` are those of a data set's samples, which may repeat them in turn."""

    vectors: Vectors
    names: Sequence[str]

    def __call__(self, data: Data, indices: Sequence[int]) -> Inputs:
        """Put the descriptors (N, D) of the samples `indices` behind all else that the model takes of them."""
        names = [self.names[index % len(self.names)] for index in indices]
        vectors = torch.from_numpy(np.stack([self.vectors[name] for name in names]))
        return Inputs((*Inputs.of(data).tensors, vectors))


class Standardize(nn.Module):
    """Bring each number of descriptors (N, D) to mean 0 and one spread over all that training has seen; then dropout.

    Descriptors come in any scale. Here a typical one has the length `LENGTH`, however many numbers it has. No batch
    statistics: a chunk of one clip is as good as a large one. A number that never varies becomes 0.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("squares", torch.zeros(width))  # the sum of squared differences from the mean
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, vectors: Tensor) -> Tensor:
        vectors = vectors.to(self.mean.dtype)
        if self.training:
            self._see(vectors)
        variance = self.squares / self.count.clamp(min=1)
        varies = variance > (1e-6 * self.mean) ** 2  # less is rounding
        scale = torch.where(varies, variance.clamp(min=torch.finfo(variance.dtype).tiny).rsqrt(), 0)
        return self.dropout((vectors - self.mean) * scale * (LENGTH / math.sqrt(len(self.mean))))

    @torch.no_grad()
    def _see(self, vectors: Tensor) -> None:
        """Add a batch to the moments (Chan, Golub and LeVeque's update)."""
        mean, total = vectors.mean(dim=0), self.count + len(vectors)
        step = mean - self.mean
        self.squares += ((vectors - mean) ** 2).sum(dim=0) + step**2 * (self.count * len(vectors) / total)
        self.mean += step * (len(vectors) / total)
        self.count.copy_(total)


class LateFusion(nn.Module):
    """Scores of the descriptor by itself; the arguments of all three are F, D and the number of classes."""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.standardize = Standardize(width)
        self.late = _zeroed(nn.Linear(width, classes))

    def forward(self, features: Tensor, vectors: Tensor) -> Tensor:
        """(N, F), (N, D) -> what is added to the scores, (N, classes)."""
        return self.late(self.standardize(vectors))


class ConcatFusion(nn.Module):
    """Scores of the descriptor, and of a hidden layer over features and descriptor side by side."""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.standardize = Standardize(width)
        self.concat = _of_length(nn.Linear(features + width, HIDDEN))
        self.scores = _zeroed(nn.Linear(width + HIDDEN, classes))

    def forward(self, features: Tensor, vectors: Tensor) -> Tensor:
        """(N, F), (N, D) -> what is added to the scores, (N, classes)."""
        vectors = self.standardize(vectors)
        hidden = torch.relu(self.concat(_side_by_side(features, vectors)))
        return self.scores(torch.cat([vectors, hidden], dim=1))


class GateFusion(nn.Module):
    """Scores of a gated projection of the descriptor. The gates lie between 0 and 2, and start at 1."""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.standardize = Standardize(width)
        self.gate = _zeroed(nn.Linear(features + width, HIDDEN))
        self.project = _of_length(nn.Linear(width, HIDDEN))
        self.scores = _zeroed(nn.Linear(HIDDEN, classes))

    def forward(self, features: Tensor, vectors: Tensor) -> Tensor:
        """(N, F), (N, D) -> what is added to the scores, (N, classes)."""
        vectors = self.standardize(vectors)
        gate = 2 * torch.sigmoid(self.gate(_side_by_side(features, vectors)))
        return self.scores(gate * self.project(vectors))


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _of_length(layer: nn.Linear) -> nn.Linear:
    """Set a layer of H units such that its output is about as long as its input; see `LENGTH`."""
    nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.out_features))
    nn.init.zeros_(layer.bias)
    return layer


def _side_by_side(features: Tensor, vectors: Tensor) -> Tensor:
    """(N, F), (N, D) -> (N, F + D), with the features as long as a typical descriptor."""
    scale = LENGTH / math.sqrt(features.shape[1])
    return torch.cat([functional.layer_norm(features, features.shape[1:]) * scale, vectors], dim=1)


KINDS: dict[str, Callable[[int, int, int], nn.Module]] = {"late": LateFusion, "concat": ConcatFusion,
                                                          "gate": GateFusion}


class FusedModel(nn.Module):
    """A skeleton model and a fusion: what the model takes, then descriptors (N, D) -> logits (N, classes).

    Its state dict is the model's own, and the fusion's under `fusion.`.

    Args:
        width: D.
    """

    model: Any  # a module with `features` and `fc`

    def __init__(self, model: nn.Module, fusion: nn.Module, width: int) -> None:
        super().__init__()
        self.model = model
        self.fusion = fusion
        self.width = width
        if has_auxiliary_loss(model):
            self.auxiliary_loss = model.auxiliary_loss
        self.training_buffers = tuple(f"model.{name}" for name in training_buffers_of(model))

    def forward(self, clips: Tensor, *beside: Tensor) -> Tensor:
        if not beside or beside[-1].shape[1:] != (self.width,):
            raise UserError("this model is fused with descriptors, and clips came without; use main.py, or leave "
                            "descriptors and fusion out of the config to use its skeleton part alone")
        *more, vectors = beside
        features = self.model.features(clips, *more)
        return self.model.fc(features) + self.fusion(features, vectors)

    def state_dict(self, *, prefix: str = "", **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the model's state with its own keys, then the fusion's; takes the options of PyTorch's method."""
        state = self.model.state_dict(prefix=prefix, **options)
        return self.fusion.state_dict(**{**options, "destination": state, "prefix": prefix + PREFIX})

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load such a state; returns what PyTorch's method returns, of the model."""
        own = OrderedDict((key, value) for key, value in state_dict.items() if not key.startswith(PREFIX))
        added = OrderedDict((key.removeprefix(PREFIX), value) for key, value in state_dict.items() if key not in own)
        self.fusion.load_state_dict(added, strict, assign)
        return self.model.load_state_dict(own, strict, assign)


def fused(model: nn.Module, kind: str, width: int, name: str) -> FusedModel:
    """Join `model` with a fusion of one of `KINDS` for descriptors of `width` numbers.

    Args:
        name: the model's name in messages.

    Raises:
        UserError: the model has no `features` or no linear `fc`, or uses the key of the fusion for weights of its own.
    """
    if not has_features(model):
        raise UserError(f"--fusion: '{name}' has no features(clips) with a linear classifier fc; give the model both "
                        "(see docs/fusion.md), or leave --descriptors and --fusion out")
    classifier: Any = model.fc
    if any(key.startswith(PREFIX) for key in model.state_dict()):
        raise UserError(f"--fusion: '{name}' has weights called {PREFIX}* of its own; rename them in the model")
    return FusedModel(model, KINDS[kind](classifier.in_features, width, classifier.out_features), width)


def skeleton_part(weights: Mapping[str, Tensor], own: Mapping[str, Tensor],
                  say: Callable[[str], None]) -> OrderedDict[str, Tensor]:
    """Return a fused model's `weights` for a model with the keys `own`: all, or without fusion if it has none."""
    if any(key.startswith(PREFIX) for key in own) or not any(key.startswith(PREFIX) for key in weights):
        return OrderedDict(weights)
    kept = OrderedDict((key, value) for key, value in weights.items() if not key.startswith(PREFIX))
    say(f"Weights of a model fused with descriptors: the skeleton part alone is loaded, {len(weights) - len(kept)} "
        f"key(s) {PREFIX}* are left out; for the whole model give --descriptors and --fusion.")
    return kept
