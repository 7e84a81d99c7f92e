"""The data set that configurations name: `feeders.feeder.Feeder`."""

from feeders import feeder, tools

__all__ = ["feeder", "tools"]
