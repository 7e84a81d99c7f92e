"""The ten-block frame, for this tree's models; see `skeleton_lab.blocks`."""

from skeleton_lab.blocks import (
    NUM_SUBSETS,
    PLAN,
    Block,
    BlockStack,
    ClipShape,
    graph_adjacency,
    init_conv_norm,
    shortcut,
)

__all__ = ["NUM_SUBSETS", "PLAN", "Block", "BlockStack", "ClipShape", "graph_adjacency", "init_conv_norm", "shortcut"]
