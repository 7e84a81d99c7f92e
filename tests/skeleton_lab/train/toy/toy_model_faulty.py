"""The toy model with numbers that are none at a certain call of training, while its loss is finite."""

import torch
import toy_model


class _Faulty(torch.autograd.Function):
    """Zero, with a gradient of NaN."""

    @staticmethod
    def forward(ctx, weight):
        return torch.zeros_like(weight)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("nan")


class Model(toy_model.Model):
    def __init__(self, gradient_at: int = -1, moment_at: int = -1, score_at: int = -1) -> None:
        """`score_at`: the call after which a test finds NaN in the scores of the first clip of each batch."""
        super().__init__()
        self.gradient_at, self.moment_at, self.score_at = gradient_at, moment_at, score_at
        self.register_buffer("mask", torch.tensor([0.0, float("-inf")]))  # as attention has them: no fault

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        if self.training and self.calls == self.moment_at:
            self.bn.running_mean.data[0] = float("nan")
        if self.training and self.calls == self.gradient_at:
            logits = logits + _Faulty.apply(self.hidden.weight).sum()
        if not self.training and self.calls == self.score_at:
            logits[0] = float("nan")
        return logits
