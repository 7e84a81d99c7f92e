"""NW-UCLA, under the name that configurations hold: `feeders.feeder_ucla.Feeder`."""

from skeleton_lab.data.feeders.feeder_ucla import Feeder

__all__ = ["Feeder"]
