"""SkateFormer (Do and Kim, ECCV 2024), fast and lean: what `model/reference.py` computes, in another order."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from model import reference
from model.block import run_block


class Transformer(reference.Transformer):
    """The reference's block on (N, C, T, P), as one operator where no activations are dropped."""

    written_by_hand = True
    memory_friendly = False

    def forward(self, x: Tensor) -> Tensor:
        if self.drops.activations:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return run_block(self, x, self.draw(x.permute(0, 2, 3, 1)), keep=not self.memory_friendly)


class Model(reference.Model):
    """Clips (N, C, T, V, M) float, and perhaps their frames' index (N, T) -> logits (N, num_class).

    Arguments and errors are the reference's.
    """

    reference = reference.Model
    further_inputs: ClassVar = {"frame_index": "NT"}
    capturable = True

    def make_transformer(self, channels: int, shape: reference.Shape, mlp_ratio: float,
                         drops: reference.Drops) -> Transformer:
        return Transformer(channels, shape, mlp_ratio, drops)

    def set_memory_friendly(self, on: bool) -> None:
        """Whether training keeps only the input of each block and computes the block again for its gradients."""
        for stage in self.stages:
            for block in stage.blocks:
                block.transformer.memory_friendly = on

    def tokens(self, clips: Tensor, frame_index: Tensor | None) -> Tensor:
        """Return the last stage's tokens, (N, T, P, C)."""
        self._require_lengths(clips)
        x = self.embedded(clips, frame_index).permute(0, 3, 1, 2)  # (N, C, T, P)
        for stage in self.stages:
            for block in stage.blocks:
                if hasattr(block, "downsample"):
                    x = block.downsample.bn(block.downsample.reduction(x))
                x = block.transformer(x)
        return x.permute(0, 2, 3, 1)
