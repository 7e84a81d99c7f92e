"""The skeleton graphs that configurations name: `graph.ntu_rgb_d.Graph`, `graph.ucla.Graph`."""
