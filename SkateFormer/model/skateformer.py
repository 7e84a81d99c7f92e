"""SkateFormer (Do and Kim, ECCV 2024): `model.skateformer.Model`."""

from __future__ import annotations

from typing import ClassVar

from model import reference


class Model(reference.Model):
    """Clips (N, C, T, V, M) float, and perhaps their frames' index (N, T) -> logits (N, num_class)."""

    reference = reference.Model
    further_inputs: ClassVar = {"frame_index": "NT"}
