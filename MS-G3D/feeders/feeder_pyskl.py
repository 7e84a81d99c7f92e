"""Clips by the pipelines of PYSKL and MMAction2, as configurations name them: `feeders.feeder_pyskl.Feeder`."""

from skeleton_lab.data.feeders.feeder_pyskl import Feeder

__all__ = ["Feeder"]
