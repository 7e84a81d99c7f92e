"""A classifier over the mean of a clip, with BatchNorm and dropout, so that every kind of state is there."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, num_class: int = 3, width: int = 8, explode_at: int = -1) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, width)
        self.bn = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(width, num_class)
        self.explode_at, self.calls = explode_at, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.mean(dim=(2, 3, 4))  # (N, C, T, V, M) -> (N, C)
        logits = self.fc(self.drop(torch.relu(self.bn(self.hidden(x)))))
        self.calls += self.training
        return logits * float("nan") if self.training and self.calls == self.explode_at else logits
