"""The skeleton graphs that configurations name: `graph.ntu_rgb_d.Graph`, `graph.ucla.Graph`."""

from graph import ntu_rgb_d, tools, ucla

__all__ = ["ntu_rgb_d", "tools", "ucla"]
