"""Hyper-GCN, base size, under the name that published configurations hold: `model.hypergcn_base.Model`."""

from model.hypergcn import Model

__all__ = ["Model"]
