"""Hyper-GCN, large size, under the name that published configurations hold: `model.hypergcn_large.Model`."""

from __future__ import annotations

from typing import Any

from model import hypergcn, reference


class _Reference(reference.Model):
    """What `Model` below is exported as."""

    def __init__(self, *arguments: Any, size: str = "large", **options: Any) -> None:
        super().__init__(*arguments, size=size, **options)


class Model(hypergcn.Model):
    """`model.hypergcn.Model` with `size` "large"."""

    reference = _Reference

    def __init__(self, *arguments: Any, size: str = "large", **options: Any) -> None:
        super().__init__(*arguments, size=size, **options)
