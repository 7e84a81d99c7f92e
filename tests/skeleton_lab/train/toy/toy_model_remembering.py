"""The plain toy with a loss of its own that depends on labels and on a memory, which is no part of the state dict."""

import torch
import toy_model_plain


class Model(toy_model_plain.Model):
    training_buffers = ("memory",)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("memory", torch.zeros(3), persistent=False)

    def auxiliary_loss(self, labels: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        rows = torch.nn.functional.one_hot(labels, 3).to(logits.dtype)
        with torch.no_grad():
            self.memory.copy_(0.9 * self.memory + 0.1 * (logits * rows).mean(dim=0))
        return 0.1 * (logits * (rows - self.memory)).square().mean()
