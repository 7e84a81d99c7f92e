"""The toy model as fusion wants it: features, and a linear classifier over them."""

import torch
import toy_model


class Model(toy_model.Model):
    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = x.mean(dim=(2, 3, 4))  # (N, C, T, V, M) -> (N, C)
        return self.drop(torch.relu(self.bn(self.hidden(x))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x))

    def set_memory_friendly(self, on: bool) -> None:
        """Keeps next to nothing already."""
