"""The engine of Skeleton Action Lab: what both model trees and the root scripts share."""

from skeleton_lab.moved import keep_old_paths

keep_old_paths()
