"""The plain toy, which also takes a number for each frame: its mean is added to the first coordinate."""

from typing import ClassVar

import torch
import toy_model_plain


class Model(toy_model_plain.Model):
    capturable = True
    further_inputs: ClassVar = {"frame_index": "NT"}

    def forward(self, x: torch.Tensor, frame_index: torch.Tensor) -> torch.Tensor:
        beside = torch.zeros_like(x)
        beside[:, 0] = frame_index[:, :, None, None]
        return super().forward(x + beside)


class Exploding(Model):
    """Yields NaN."""

    def forward(self, x: torch.Tensor, frame_index: torch.Tensor) -> torch.Tensor:
        return super().forward(x, frame_index) * float("nan")
