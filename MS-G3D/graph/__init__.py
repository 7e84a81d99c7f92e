"""The skeleton graphs that configurations name: `graph.ntu_rgb_d.AdjMatrixGraph`, `graph.kinetics.AdjMatrixGraph`."""

from graph import kinetics, ntu_rgb_d, tools

__all__ = ["kinetics", "ntu_rgb_d", "tools"]
