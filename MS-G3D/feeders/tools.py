"""The classical transforms of one clip, under the names that feeders of your own may import."""

from skeleton_lab.data.feeders.transforms import auto_pading, downsample, random_choose, random_move, random_shift

__all__ = ["auto_pading", "downsample", "random_choose", "random_move", "random_shift"]
