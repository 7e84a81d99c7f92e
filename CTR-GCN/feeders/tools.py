"""The classical transforms of one clip, for feeders of your own; the shipped feeders transform whole batches."""

from skeleton_lab.data.feeders.transforms import auto_pading, downsample, random_choose, random_move, random_shift

__all__ = ["auto_pading", "downsample", "random_choose", "random_move", "random_shift"]
