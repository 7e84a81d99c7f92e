"""The engine of Skeleton Action Lab: what both model trees and the root scripts share."""

from skeleton_lab.command.processors import settle_threads
from skeleton_lab.moved import keep_old_paths

__version__ = "0.1.0"

settle_threads()  # before PyTorch is imported
keep_old_paths()
