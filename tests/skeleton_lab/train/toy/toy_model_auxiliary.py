"""The plain toy with a loss of its own: the mean square of its logits, a tenth of it."""

import torch
import toy_model_plain


class Model(toy_model_plain.Model):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        self._kept = logits
        return logits

    def auxiliary_loss(self) -> torch.Tensor:
        return 0.1 * self._kept.square().mean()
