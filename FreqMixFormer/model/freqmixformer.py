"""FreqMixFormer (Wu et al., ACM MM 2024), under the name that configurations hold; its equations compute it.

Against the published code, these pool before they transform, take the transform as a matrix, and make no graph for each
channel. There are no operators of its own yet.
"""

from __future__ import annotations

from model import reference


class Model(reference.Model):
    """FreqMixFormer: arguments and results are those of `model.reference.Model`."""

    reference = reference.Model
