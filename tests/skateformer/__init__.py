"""SkateFormer."""
